import CMGLUKernels

// The feed-forward units in training, through training_units.cu.

extension CUDABackend {
  public func stackMasked(_ weight: Tensor, logits: Tensor, into stack: Tensor) {
    let (size, masks) = (weight.count, logits.count / weight.count)
    precondition(
      weight.dataType == .float32 && stack.dataType == .bfloat16
        && stack.count == (masks + 1) * size, "the stack has another size or type")
    launch(
      "training_units", "stack_masked", options: rowOptions(size, weight, logits, stack),
      grid: LaunchSize((size + 2047) / 2048), block: 256, programmatic: false,
      arguments: weight.deviceAddress, logits.deviceAddress, stack.deviceAddress, Int64(size),
      Int32(masks))
  }

  public func unstackGradient(
    _ stackGradient: Tensor, weight: Tensor, logits: Tensor, weightGradient: Tensor,
    logitsGradient: Tensor?, accumulates: Bool
  ) {
    let (size, masks) = (weight.count, logits.count / weight.count)
    precondition(
      stackGradient.dataType == .float32 && stackGradient.count == (masks + 1) * size
        && weightGradient.count == size, "the gradients have other sizes or types")
    launch(
      "training_units", "unstack_gradient",
      options: rowOptions(size, stackGradient, weight, logits, weightGradient, logitsGradient),
      grid: LaunchSize((size + 1023) / 1024), block: 256, programmatic: false,
      arguments: stackGradient.deviceAddress, weight.deviceAddress, logits.deviceAddress,
      weightGradient.deviceAddress, logitsGradient?.deviceAddress ?? 0, Int64(size), Int32(masks),
      Int32(accumulates ? 1 : 0))
  }

  public func combine(
    _ streams: Tensor, gating: Gating, activation: Activation, routes: Tensor?, into a: Tensor
  ) {
    let (rows, width) = (a.rows, a.columns)
    precondition(
      streams.dataType == .bfloat16 && a.dataType == .bfloat16
        && streams.count == rows * width * gating.streams, "the streams have another size or type")
    guard rows > 0 else { return }
    launch(
      "training_units", "combine",
      options: options(gating, activation, routes: routes) + rowOptions(width, streams, a),
      grid: LaunchSize(rows), block: LaunchSize(rowThreads(width, most: 256)), programmatic: false,
      arguments: streams.deviceAddress, routes?.deviceAddress ?? 0, a.deviceAddress, Int32(width))
  }

  public func combineBackward(
    _ upstream: Tensor, streams: Tensor, gating: Gating, activation: Activation, routes: Tensor?,
    streamsGradient: Tensor, routesGradient: Tensor?
  ) {
    let (rows, width) = (upstream.rows, upstream.columns)
    precondition(
      streams.dataType == .bfloat16 && upstream.dataType == .bfloat16
        && streamsGradient.dataType == .bfloat16
        && streams.count == rows * width * gating.streams
        && streamsGradient.count == streams.count && (routes == nil) == (routesGradient == nil),
      "the streams have another size or type")
    guard rows > 0 else { return }
    launch(
      "training_units", "combine_backward",
      options: options(gating, activation, routes: routes)
        + rowOptions(width, upstream, streams, streamsGradient),
      grid: LaunchSize(rows), block: LaunchSize(rowThreads(width, most: 256)), programmatic: false,
      arguments: upstream.deviceAddress, streams.deviceAddress, routes?.deviceAddress ?? 0,
      streamsGradient.deviceAddress, routesGradient?.deviceAddress ?? 0, Int32(width))
  }

  /// The variant of a unit; the C enumerations count as training_units.cu does.
  private func options(
    _ gating: Gating, _ activation: Activation, routes: Tensor?
  ) -> [String] {
    [
      "-DMASKS=\(gating.masks)", "-DGATING=\(gating.kernelValue.rawValue)",
      "-DACTIVATION=\(activation.kernelValue.rawValue)", "-DROUTED=\(routes == nil ? 0 : 1)",
    ]
  }
}
