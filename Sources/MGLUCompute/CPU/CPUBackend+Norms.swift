// The norm of training, forward and backward; inference has it within other operations.

extension CPUBackend {
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
}
