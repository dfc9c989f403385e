// AdamW and what it needs.

extension CPUBackend {
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
