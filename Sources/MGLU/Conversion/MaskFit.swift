import MGLUCompute

/// W and n masks in place of a gate and a value matrix, by Optimal Brain Surgeon (Hassibi and Stork,
/// 1993; in the form of SparseGPT, arXiv 2301.00774): one matrix serves two, so each of its elements
/// is an error of one or of both, and what an element lacks the elements after it make up for.
///
/// An MGLU is n times the mean of its masks, `a = sum_i g(s_i) (t - s_i)`. To first order its error is
/// that of the mean gate and of the mean value; masks that differ cancel theirs. So the columns are
/// gone through in order, and element (r, j) and its bits m_i minimize
///
///     αg (p w - ḡ)² + αv ((1 - p) w - v)² + λ (αg + αv) mean_i ((m_i - p) w - (g_i - ḡ))²
///
/// over w, the number of ones c = n p, and the masks that have them. g_i is the gate that mask i still
/// has to reach, ḡ their mean, v the value; αg = E[(g'(s) v)²] and αv = E[g(s)²] say how much the row's
/// result changes with either. The last term bounds how far masks may differ, which g, being curved,
/// would notice. With one mask the larger of `αg g²` and `αv v²` is kept, and λ has no effect.
///
/// What w leaves of each g_i and of v is an error e; with U of ``InverseCholesky`` the columns k > j of
/// that target change by `- e U_jk / U_jj`, which is the least error of X wᵀ over the calibration inputs.
package struct MaskFit {
  /// n.
  package let masks: Int
  /// λ, chosen by the loss of SmolLM2-135M with four masks after tuning, among 0.01 and 0.05.
  package var spread: Float = 0.01

  package init(masks: Int) { self.masks = masks }

  /// What was fitted.
  package struct Result {
    /// W `[d, h]`.
    package let weight: Tensor
    /// 1 for a mask's one, -1 for its zero `[n, d, h]`.
    package let signs: Tensor
    /// -1 for rows whose value is negated, which the columns of the down projection make up for:
    /// gate and value of equal signs share an element better. 1 for the others `[d]`.
    package let valueSigns: [Float]
  }

  /// How much a row's result changes with its gate and its value, over the calibration inputs.
  package struct Sensitivity {
    /// E[(g'(s) v)²] `[d]`.
    package var gate: [Float]
    /// E[g(s)²] `[d]`.
    package var value: [Float]

    package init(gate: [Float], value: [Float]) { (self.gate, self.value) = (gate, value) }

    /// The same without zeros, which would leave a row without a choice.
    fileprivate var floored: Sensitivity {
      let most = max(gate.max() ?? 0, value.max() ?? 0)
      let least = most > 0 && most.isFinite ? max(most * 1e-10, .leastNormalMagnitude) : 1
      return Sensitivity(gate: gate.map { max($0, least) }, value: value.map { max($0, least) })
    }
  }

  /// Columns between two products with what follows them.
  private static let block = 64

  /// Fits gate and value `[d, h]`, float32 on the host.
  ///
  /// - Parameters:
  ///   - gate: Wg.
  ///   - value: Wv.
  ///   - inputSquares: The diagonal of H, E[x_k²] up to a factor.
  ///   - factor: U `[h, h]`.
  ///   - sensitivity: αg and αv.
  ///   - host: What computes. Cost: (n + 1) d h² operations; 4 (n + 1) d h bytes beside the result.
  package func fit(
    gate: Tensor, value: Tensor, inputSquares: [Float], factor: Tensor, sensitivity: Sensitivity,
    on host: CPUBackend
  ) -> Result {
    let (d, h, n) = (gate.rows, gate.columns, masks)
    let width = (n + 1) * d
    let rows = MaskFitRows(masks: n, spread: spread, sensitivity: sensitivity.floored)
    let signs = rows.valueSigns(gate: gate, value: value, inputSquares: inputSquares, on: host)
    let (weight, bits) = host.allocate { ($0.tensor([d, h]), $0.tensor([n, d, h])) }
    // Columns of the matrices as rows: the gates of all masks, then the value.
    let (targets, errors, panel) = host.allocate { layout in
      (
        layout.tensor([h, width]), layout.tensor([Self.block, width]),
        layout.tensor([h, Self.block])
      )
    }
    // Pointers to elements keep no memory alive.
    defer { withExtendedLifetime((targets, weight)) {} }
    host.pool.forEachRange(of: h) { columns in
      for j in columns {
        let target = targets.floats + j * width
        for r in 0..<d {
          for mask in 0..<n { target[mask * d + r] = gate.floats[r * h + j] }
          target[n * d + r] = value.floats[r * h + j] * signs[r]
        }
      }
    }
    let u = factor.floats
    for first in stride(from: 0, to: h, by: Self.block) {
      let columns = first..<min(first + Self.block, h)
      host.pool.forEachRange(of: d, unit: 16) { range in
        for j in columns {
          let target = targets.floats + j * width
          let error = errors.floats + (j - first) * width
          rows.choose(
            range, targets: target, scale: 1 / u[j * h + j], errors: error, column: j, of: h,
            weight: weight.floats, signs: bits.floats)
          for k in j + 1..<max(columns.upperBound, j + 1) {
            let (later, factor) = (targets.floats + k * width, u[j * h + k])
            for part in 0...n {
              for r in part * d + range.lowerBound..<part * d + range.upperBound {
                later[r] -= factor * error[r]
              }
            }
          }
        }
      }
      let rest = columns.upperBound..<h
      guard !rest.isEmpty else { continue }
      // The columns after the block, in one product.
      let negated = panel.reshaped([h * Self.block])[0..<rest.count * columns.count]
        .reshaped([rest.count, columns.count])
      for k in rest {
        for j in columns {
          negated.floats[(k - rest.lowerBound) * columns.count + j - first] = -u[j * h + k]
        }
      }
      host.multiply(
        negated, errors[0..<columns.count], into: targets[rest], adding: targets[rest])
    }
    return Result(weight: weight, signs: bits, valueSigns: signs)
  }
}

/// The choice of single elements; what it needs of each row is computed once.
private struct MaskFitRows {
  let masks: Int
  let spread: Float
  let sensitivity: MaskFit.Sensitivity
  /// 1 / A of `cost = C - B² / A`, for each row and number of ones.
  let inverses: [Float]

  init(masks: Int, spread: Float, sensitivity: MaskFit.Sensitivity) {
    self.masks = masks
    self.spread = spread
    self.sensitivity = sensitivity
    inverses = sensitivity.gate.indices.flatMap { row in
      let (a, b) = (sensitivity.gate[row], sensitivity.value[row])
      return (0...masks).map { ones in
        let p = Float(ones) / Float(masks)
        return 1 / (a * p * p + b * (1 - p) * (1 - p) + spread * (a + b) * p * (1 - p))
      }
    }
  }

  /// Chooses column `column` in `rows`, and writes the element, its bits and `scale` times the errors
  /// that are left of `targets`.
  func choose(
    _ rows: Range<Int>, targets: UnsafePointer<Float>, scale: Float,
    errors: UnsafeMutablePointer<Float>, column: Int, of columns: Int,
    weight: UnsafeMutablePointer<Float>, signs: UnsafeMutablePointer<Float>
  ) {
    let (n, d) = (masks, sensitivity.gate.count)
    withUnsafeTemporaryAllocation(of: Int.self, capacity: n) { order in
      for row in rows {
        // Gates in descending order: whichever masks have the ones, they are the first or the last.
        var sum: Float = 0
        for mask in 0..<n {
          let gate = targets[mask * d + row]
          sum += gate
          var place = mask
          while place > 0, targets[order[place - 1] * d + row] < gate {
            order[place] = order[place - 1]
            place -= 1
          }
          order[place] = mask
        }
        let mean = sum / Float(n)
        let value = targets[n * d + row]
        let (a, b) = (sensitivity.gate[row], sensitivity.value[row])
        let spreadScale = spread * (a + b) / Float(n)
        var (best, ones, isTop, element) = (-Float.infinity, 0, true, Float(0))
        var (top, bottom) = (Float(0), Float(0))
        for count in 0...n {
          if count > 0 {
            top += targets[order[count - 1] * d + row] - mean
            bottom += targets[order[n - count] * d + row] - mean
          }
          let p = Float(count) / Float(n)
          let common = a * p * mean + b * (1 - p) * value
          let inverse = inverses[row * (n + 1) + count]
          let (high, low) = (common + spreadScale * top, common + spreadScale * bottom)
          let takesTop = abs(high) >= abs(low)
          let numerator = takesTop ? high : low
          let gain = numerator * numerator * inverse
          if gain > best {
            (best, ones, isTop, element) = (gain, count, takesTop, numerator * inverse)
          }
        }
        weight[row * columns + column] = element
        let p = Float(ones) / Float(n)
        for place in 0..<n {
          let mask = order[place]
          let isOne = isTop ? place < ones : place >= n - ones
          signs[(mask * d + row) * columns + column] = isOne ? 1 : -1
          errors[mask * d + row] = scale * (targets[mask * d + row] - (isOne ? element : 0))
        }
        errors[n * d + row] = scale * (value - (1 - p) * element)
      }
    }
  }

  /// For each row, whether its value or the negated one fits the gate better: by the sum over the
  /// columns of the least cost of an element times E[x²]. One mask fits both alike.
  func valueSigns(
    gate: Tensor, value: Tensor, inputSquares: [Float], on host: CPUBackend
  ) -> [Float] {
    let (d, h, n) = (gate.rows, gate.columns, masks)
    var signs = [Float](repeating: 1, count: d)
    guard n > 1 else { return signs }
    signs.withUnsafeMutableBufferPointer { signs in
      // Each row is written by one thread.
      nonisolated(unsafe) let signs = signs
      host.pool.forEachRange(of: d) { rows in
        for row in rows {
          let (a, b) = (sensitivity.gate[row], sensitivity.value[row])
          // What either sign gains: C does not depend on it.
          var (plus, minus) = (Float(0), Float(0))
          for column in 0..<h {
            let (g, v) = (gate.floats[row * h + column], value.floats[row * h + column])
            var (bestPlus, bestMinus) = (Float(0), Float(0))
            for count in 0...n {
              let p = Float(count) / Float(n)
              let (x, y) = (a * p * g, b * (1 - p) * v)
              let inverse = inverses[row * (n + 1) + count]
              bestPlus = max(bestPlus, (x + y) * (x + y) * inverse)
              bestMinus = max(bestMinus, (x - y) * (x - y) * inverse)
            }
            plus += inputSquares[column] * bestPlus
            minus += inputSquares[column] * bestMinus
          }
          if minus > plus { signs[row] = -1 }
        }
      }
    }
    return signs
  }
}
