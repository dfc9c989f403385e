// The feed-forward units in training: each operation checks its shapes, then splits rows over the
// threads.

extension CPUBackend {
  public func stackMasked(_ weight: Tensor, logits: Tensor, into stack: Tensor) {
    let masks = logits.count / weight.count
    precondition(stack.count == (masks + 1) * weight.count, "the stack has another size")
    pool.forEachRange(of: weight.count, unit: 16, grain: 1 << 13) { range in
      kernels.stack_masked(
        weight.floats, logits.floats, stack.floats, Int64(masks), Int64(weight.count),
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func unstackGradient(
    _ stackGradient: Tensor, weight: Tensor, logits: Tensor, weightGradient: Tensor,
    logitsGradient: Tensor?, accumulates: Bool
  ) {
    let masks = logits.count / weight.count
    precondition(
      stackGradient.count == (masks + 1) * weight.count && weightGradient.count == weight.count,
      "the gradients have other sizes")
    pool.forEachRange(of: weight.count, unit: 16, grain: 1 << 13) { range in
      kernels.unstack_gradient(
        weight.floats, logits.floats, stackGradient.floats, weightGradient.floats,
        logitsGradient?.floats, accumulates, Int64(masks), Int64(weight.count),
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }

  public func combine(
    _ streams: Tensor, gating: Gating, activation: Activation, routes: Tensor?, into a: Tensor
  ) {
    let (rows, width) = (a.rows, a.columns)
    precondition(streams.count == rows * width * gating.streams, "the streams have another size")
    pool.forEachRange(of: rows, grain: max(1, 4096 / (width * gating.streams))) { range in
      kernels.combine(
        gating.kernelValue, activation.kernelValue, Int64(gating.masks), Int64(width),
        streams.floats, routes?.floats, a.floats, Int64(range.lowerBound),
        Int64(range.upperBound))
    }
  }

  public func combineBackward(
    _ upstream: Tensor, streams: Tensor, gating: Gating, activation: Activation, routes: Tensor?,
    streamsGradient: Tensor, routesGradient: Tensor?
  ) {
    let (rows, width) = (upstream.rows, upstream.columns)
    precondition(
      streams.count == rows * width * gating.streams && streamsGradient.count == streams.count
        && (routes == nil) == (routesGradient == nil), "the streams have another size")
    pool.forEachRange(of: rows, grain: max(1, 4096 / (width * gating.streams))) { range in
      kernels.combine_backward(
        gating.kernelValue, activation.kernelValue, Int64(gating.masks), Int64(width),
        streams.floats, routes?.floats, upstream.floats, streamsGradient.floats,
        routesGradient?.floats, Int64(range.lowerBound), Int64(range.upperBound))
    }
  }
}
