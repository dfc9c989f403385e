// The norm of training, forward and backward, through training.cu.

extension CUDABackend {
  public func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, into y: Tensor, inverseRMS: Tensor
  ) {
    precondition(
      x.dataType == .bfloat16 && y.dataType == .bfloat16 && x.columns == weight.count
        && y.count == x.count && inverseRMS.count == x.rows, "the norm has another width or type")
    guard x.rows > 0 else { return }
    launch(
      "training", "rms_norm", options: rowOptions(x.columns, x, weight, y),
      grid: LaunchSize(x.rows), block: LaunchSize(rowThreads(x.columns, most: 1024)),
      programmatic: false,
      arguments: x.deviceAddress, weight.deviceAddress, epsilon, y.deviceAddress,
      inverseRMS.deviceAddress, Int32(x.columns))
  }

  public func rmsNormBackward(
    _ upstream: Tensor, x: Tensor, weight: Tensor, inverseRMS: Tensor, xGradient: Tensor,
    weightGradient: Tensor
  ) {
    let (rows, width) = (x.rows, x.columns)
    precondition(
      upstream.dataType == .bfloat16 && x.dataType == .bfloat16 && xGradient.dataType == .bfloat16
        && weightGradient.dataType == .float32 && upstream.count == x.count
        && xGradient.count == x.count && weightGradient.count == width,
      "the norm has another width or type")
    guard rows > 0 else { return }
    // The same number everywhere: it decides in which order the weight's gradient is added up.
    let blocks = min(rows, 1024)
    let partial = scratch(.partialNorm, ofBytes: blocks * width * 4)
    let options = rowOptions(width, upstream, x, weight, xGradient)
    launch(
      "training", "rms_norm_backward", options: options, grid: LaunchSize(blocks),
      block: LaunchSize(rowThreads(width, most: 1024)), sharedBytes: (width + 7) / 8 * 32,
      programmatic: false,
      arguments: upstream.deviceAddress, x.deviceAddress, weight.deviceAddress,
      inverseRMS.deviceAddress, xGradient.deviceAddress, partial, Int64(rows), Int32(width))
    launch(
      "training", "add_columns", options: options, grid: LaunchSize((width + 7) / 8), block: 1024,
      programmatic: false,
      arguments: partial, weightGradient.deviceAddress, Int32(blocks), Int32(width))
  }
}
