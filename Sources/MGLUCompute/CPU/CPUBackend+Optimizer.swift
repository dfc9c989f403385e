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
  }

  public func sumsOfSquares(_ x: Tensor, into sums: Tensor) {
    let block = Self.squareBlock
    precondition(sums.count == (x.count + block - 1) / block, "the sums have another count")
    let base = sums.doubles
    pool.forEachRange(of: sums.count) { range in
      for index in range {
        base[index] = kernels.sum_of_squares(
          x.floats + index * block, Int64(min(block, x.count - index * block)))
      }
    }
  }

  public func addSums(_ sums: Tensor, into sum: Tensor) {
    let base = sums.doubles
    sum.doubles[0] = (0..<sums.count).reduce(0) { $0 + base[$1] }
  }

  public func sumOfSquares(_ x: Tensor, into sum: Tensor) {
    let block = Self.squareBlock
    let sums = allocate { $0.tensor([(x.count + block - 1) / block], .float64) }
    sumsOfSquares(x, into: sums)
    addSums(sums, into: sum)
  }

  public func addRows(_ x: Tensor, into y: Tensor, accumulates: Bool) {
    let count = y.count
    precondition(x.columns == count, "the rows have another length")
    let (rows, source, target) = (x.rows, x.floats, y.floats)
    pool.forEachRange(of: count, unit: 16, grain: 1 << 13) { range in
      for row in 0..<rows {
        let from = source + row * count
        if row == 0, !accumulates {
          (target + range.lowerBound).update(from: from + range.lowerBound, count: range.count)
        } else {
          for index in range { target[index] += from[index] }
        }
      }
    }
  }
}
