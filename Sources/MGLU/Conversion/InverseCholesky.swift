import MGLUCompute

/// The factor through which Optimal Brain Surgeon passes errors on: U, upper triangular, with
/// H⁻¹ = Uᵀ U.
///
/// With H = R Rᵀ, R upper triangular, U is R⁻¹. Both steps are in float64 and parallel over rows.
/// Cost: 2 h³ / 3 operations; 16 h² bytes.
package enum InverseCholesky {
  /// U `[h, h]` of H `[h, h]`, symmetric and float32, on the host. `damping` times the mean of the
  /// diagonal is added to the diagonal, so that inputs that never vary leave a factor too.
  ///
  /// Returns `nil` where H is not positive definite even so, or not finite.
  package static func factor(
    of hessian: Tensor, damping: Double, on host: CPUBackend
  ) -> Tensor? {
    let n = hessian.rows
    let (result, work) = host.allocate { layout in
      (layout.tensor([n, n]), layout.tensor([n, n], .float64))
    }
    // Pointers to elements keep no memory alive.
    defer { withExtendedLifetime(work) {} }
    let (h, r, u) = (hessian.floats, work.doubles, result.floats)
    var mean = 0.0
    for i in 0..<n { mean += Double(h[i * n + i]) / Double(n) }
    // Inputs that are all zero make every choice equal.
    let shift = mean > 0 ? damping * mean : 1
    for j in stride(from: n - 1, through: 0, by: -1) {
      let tail = n - j - 1
      func rest(_ i: Int) -> Double {
        Double(h[i * n + j]) - dot(r + i * n + j + 1, r + j * n + j + 1, count: tail)
      }
      let pivot = rest(j) + shift
      guard pivot > 0, pivot.isFinite else { return nil }
      let root = pivot.squareRoot()
      r[j * n + j] = root
      host.pool.forEachRange(of: j, grain: max(1, 20_000 / (tail + 1))) { rows in
        for i in rows { r[i * n + j] = rest(i) / root }
      }
    }
    host.pool.forEach(n) { i, _ in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: n) { buffer in
        let row = buffer.baseAddress!
        row.initialize(repeating: 0, count: n)
        row[i] = 1
        for k in i..<n {
          let value = row[k] / r[k * n + k]
          row[k] = value
          let from = r + k * n
          for t in k + 1..<max(n, k + 1) { row[t] -= value * from[t] }
        }
        for k in i..<n { u[i * n + k] = Float(row[k]) }
      }
    }
    return result
  }

  private static func dot(
    _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, count: Int
  ) -> Double {
    var sums = SIMD8<Double>()
    let whole = count / 8 * 8
    for k in stride(from: 0, to: whole, by: 8) {
      let x = UnsafeRawPointer(a + k).loadUnaligned(as: SIMD8<Double>.self)
      let y = UnsafeRawPointer(b + k).loadUnaligned(as: SIMD8<Double>.self)
      sums += x * y
    }
    var sum = sums.sum()
    for k in whole..<count { sum += a[k] * b[k] }
    return sum
  }
}
