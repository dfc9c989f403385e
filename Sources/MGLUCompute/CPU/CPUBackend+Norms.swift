import CMGLUKernels

// RMSNorm by itself, forward and backward; inference has that of whole rows within its products.

extension CPUBackend {
  public func rmsNorm(
    _ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float, into y: Tensor,
    inverseRMS: Tensor
  ) {
    let norms = Norms(x, parts, weight)
    precondition(y.count == x.count && inverseRMS.count == norms.count, "y has another size")
    pool.forEachRange(of: norms.count, grain: max(1, 8192 / norms.width)) { range in
      kernels.rms_norm(
        x.floats + norms.first, weight.floats, epsilon, y.floats + norms.first, inverseRMS.floats,
        norms.parts, Int64(norms.width), Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func rmsNormInPlace(_ x: Tensor, parts: RowParts?, weight: Tensor, epsilon: Float) {
    let norms = Norms(x, parts, weight)
    let memory = scratch.take(byteCount: norms.count * 4)
    defer { scratch.giveBack(memory) }
    let statistics = memory.base.assumingMemoryBound(to: Float.self)
    pool.forEachRange(of: norms.count, grain: max(1, 8192 / norms.width)) { range in
      kernels.rms_norm(
        x.floats + norms.first, weight.floats, epsilon, x.floats + norms.first, statistics,
        norms.parts, Int64(norms.width), Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, parts: RowParts?, weight: Tensor, inverseRMS: Tensor,
    accumulates: Bool, xGradient: Tensor, weightGradient: Tensor
  ) {
    let norms = Norms(x, parts, weight)
    let width = norms.width
    // One partial weight gradient per block of norms, added in order: no thread count changes it.
    let block = 256
    let blocks = (norms.count + block - 1) / block
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(blocks * width, 1)) { partial in
      partial.initialize(repeating: 0)
      let base = partial.baseAddress!
      pool.forEachRange(of: blocks) { range in
        for index in range {
          kernels.rms_norm_backward(
            upstream.floats + norms.first, x.floats + norms.first, weight.floats,
            inverseRMS.floats, xGradient.floats + norms.first, base + index * width, accumulates,
            norms.parts, Int64(width), Int64(index * block),
            Int64(min((index + 1) * block, norms.count)))
        }
      }
      for index in 0..<blocks {
        kernels.add(base + index * width, weightGradient.floats, 0, Int64(width))
      }
    }
  }
}

/// The norms of a tensor's rows, as the kernels count them.
private struct Norms {
  let width: Int
  let count: Int
  let first: Int
  let parts: cmglu_norm_parts

  init(_ x: Tensor, _ parts: RowParts?, _ weight: Tensor) {
    let own = parts ?? RowParts(first: 0, count: 1)
    own.check(x, weight, isWhole: parts == nil)
    (width, count, first) = (weight.count, x.rows * own.count, own.first)
    self.parts = cmglu_norm_parts(count: Int64(own.count), stride: Int64(x.columns))
  }
}
