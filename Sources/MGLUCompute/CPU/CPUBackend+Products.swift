import CMGLUKernels

// Matrix products of training, through a BLAS or the built-in kernel.

extension CPUBackend {
  public func multiply(
    _ a: MatrixOperand, _ b: MatrixOperand, into c: Tensor, adding d: Tensor?
  ) {
    let (m, inner) = a.size
    let (depth, n) = b.size
    precondition(
      inner == depth && c.rows == m && c.columns == n,
      "[\(m), \(inner)] times [\(depth), \(n)] into [\(c.rows), \(c.columns)]")
    if let d, d.floats != c.floats { copy(d, into: c) }
    let product = MatrixProduct(
      transposeA: a.isTransposed, transposeB: b.isTransposed, m: m, n: n, k: inner,
      a: a.tensor.floats, lda: a.tensor.columns, b: b.tensor.floats, ldb: b.tensor.columns,
      accumulate: d != nil, c: c.floats, ldc: n)
    // Below some 100k multiplications the fork and join costs more than it saves.
    let grain = max(1, 100_000 / max(1, min(m, n) * inner))
    if m >= n {
      pool.forEachRange(of: m, unit: 16, grain: grain) { perform(product.rows($0)) }
    } else {
      pool.forEachRange(of: n, unit: 16, grain: grain) { perform(product.columns($0)) }
    }
  }

  /// Computes a product on the calling thread.
  func perform(_ p: MatrixProduct) {
    if let blas, p.fitsBLAS { return blas.multiply(p) }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: Int(CMGLU_GEMM_SCRATCH)) { scratch in
      kernels.gemm(
        p.transposeA, p.transposeB, Int64(p.m), Int64(p.n), Int64(p.k), p.a, Int64(p.lda),
        p.b, Int64(p.ldb), p.accumulate, p.c, Int64(p.ldc), scratch.baseAddress)
    }
  }
}
