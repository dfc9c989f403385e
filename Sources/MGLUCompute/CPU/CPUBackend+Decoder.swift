import CMGLUKernels

// Embedding, norm, rotary positions, loss and optimizer.
extension CPUBackend {
  public func embed(_ tokens: Tensor, table: Tensor, into x: Tensor) {
    let width = table.columns
    let (ids, from, to) = (tokens.integers, table.floats, x.floats)
    pool.forEachRange(of: tokens.count, grain: max(1, 8192 / width)) { range in
      for row in range {
        (to + row * width).update(from: from + Int(ids[row]) * width, count: width)
      }
    }
  }

  public func embedBackward(_ gradient: Tensor, tokens: Tensor, tableGradient: Tensor) {
    let width = gradient.columns
    let (ids, from, to) = (tokens.integers, gradient.floats, tableGradient.floats)
    // Threads split the columns: rows of equal tokens then add up in the same order on any team.
    pool.forEachRange(of: width, unit: 16, grain: max(16, 8192 / max(1, tokens.count))) { range in
      for row in 0..<tokens.count {
        kernels.add(
          from + row * width, to + Int(ids[row]) * width, Int64(range.lowerBound),
          Int64(range.upperBound))
      }
    }
  }

  public func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, inverseRMS: Tensor
  ) {
    precondition(x.columns == weight.count && y.count == x.count, "the norm has another width")
    pool.forEachRange(of: x.rows, grain: max(1, 8192 / x.columns)) { range in
      kernels.rms_norm(
        x.floats, weight.floats, epsilon, y.floats, inverseRMS.floats, Int64(x.columns),
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, weight: Tensor, inverseRMS: Tensor, xGradient: Tensor,
    weightGradient: Tensor
  ) {
    let width = x.columns
    // One partial weight gradient per block of rows, added in order: no thread count changes it.
    let block = 256
    let blocks = (x.rows + block - 1) / block
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(blocks * width, 1)) { partial in
      partial.initialize(repeating: 0)
      let base = partial.baseAddress!
      pool.forEachRange(of: blocks) { range in
        for index in range {
          kernels.rms_norm_backward(
            upstream.floats, x.floats, weight.floats, inverseRMS.floats, xGradient.floats,
            base + index * width, Int64(width), Int64(index * block),
            Int64(min((index + 1) * block, x.rows)))
        }
      }
      for index in 0..<blocks {
        kernels.add(base + index * width, weightGradient.floats, 0, Int64(width))
      }
    }
  }

  public func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool
  ) {
    precondition(qkv.columns == shape.rowWidth, "qkv has another width")
    pool.forEachRange(of: qkv.rows, grain: max(1, 8192 / qkv.columns)) { range in
      kernels.rope(
        qkv.floats, Int64(qkv.columns), Int64(shape.heads + shape.kvHeads), Int64(shape.headSize),
        positions.integers, table.cosine.floats, table.sine.floats, inverse ? -1 : 1,
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func crossEntropy(
    _ logits: Tensor, vocabulary: Int, targets: Tensor, losses: Tensor, gradientScale: Float
  ) {
    precondition(
      logits.rows == targets.count && losses.count == targets.count
        && vocabulary <= logits.columns, "targets do not fit logits")
    pool.forEachRange(of: logits.rows, grain: max(1, 4096 / logits.columns)) { range in
      kernels.cross_entropy(
        logits.floats, targets.integers, losses.floats, gradientScale, Int64(logits.columns),
        Int64(vocabulary), Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  /// The logarithm of the sum of the exponentials of `values`, where what is no number counts as
  /// -infinity; equal values give equal bits wherever they lie.
  package func logSumExp(_ values: Span<Float>) -> Float {
    values.withUnsafeBufferPointer {
      $0.isEmpty ? -.infinity : kernels.log_sum_exp($0.baseAddress!, Int64($0.count))
    }
  }

  public func adamW(
    _ weights: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, copy: Tensor?,
    squaredNorm: Tensor, step: AdamWStep
  ) {
    precondition(copy == nil, "products of this backend read the weights themselves")
    let norm = squaredNorm.doubles[0].squareRoot()
    guard norm.isFinite else { return }
    let scale = step.gradientScale(norm: norm)
    let corrections = step.biasCorrections
    pool.forEachRange(of: weights.count, unit: 16, grain: 1 << 13) { range in
      kernels.adamw(
        weights.floats, gradient.floats, firstMoment.floats, secondMoment.floats,
        step.learningRate, step.beta1, step.beta2, step.epsilon, step.weightDecay,
        corrections.first,
        corrections.second, scale, Int64(range.lowerBound), Int64(range.upperBound))
    }
    clear(gradient)
  }

  public func sumOfSquares(_ x: Tensor, into sum: Tensor) {
    let block = 1 << 14
    let blocks = (x.count + block - 1) / block
    withUnsafeTemporaryAllocation(of: Double.self, capacity: max(blocks, 1)) { sums in
      sums.initialize(repeating: 0)
      let base = sums.baseAddress!
      pool.forEachRange(of: blocks) { range in
        for index in range {
          base[index] = kernels.sum_of_squares(
            x.floats + index * block, Int64(min(block, x.count - index * block)))
        }
      }
      sum.doubles[0] = sums.reduce(0, +)
    }
  }
}
