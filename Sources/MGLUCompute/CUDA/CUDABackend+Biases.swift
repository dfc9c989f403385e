// Biases of projections, and their gradients: of float32 rows through tokens.cu, in training of BF16
// ones through training.cu.

extension CUDABackend {
  public func addBias(_ bias: Tensor, to x: Tensor) {
    let width = x.columns
    precondition(
      bias.count == width && bias.dataType == .float32, "the bias has another width or type")
    guard x.rows > 0 else { return }
    guard x.dataType == .bfloat16 else {
      precondition(x.dataType == .float32, "rows of \(x.dataType) with a bias")
      return launch(
        "tokens", "add_bias", grid: LaunchSize(min(1024, (x.count + 255) / 256)), block: 256,
        arguments: x.deviceAddress, bias.deviceAddress, UInt64(x.count), Int32(width))
    }
    let across = min((width + 7) / 8, 256)
    let block = LaunchSize(across, 256 / across)
    launch(
      "training", "add_bias", options: rowOptions(width, x, bias),
      grid: LaunchSize((x.rows + block.y - 1) / block.y), block: block, programmatic: false,
      arguments: x.deviceAddress, bias.deviceAddress, Int64(x.rows), Int32(width))
  }

  public func addBiasBackward(_ upstream: Tensor, biasGradient: Tensor) {
    let width = upstream.columns
    precondition(
      upstream.dataType == .bfloat16 && biasGradient.dataType == .float32
        && biasGradient.count == width, "the gradient of the bias has another width or type")
    guard upstream.rows > 0 else { return }
    // The same number everywhere: it decides in which order rows are added up.
    let blocks = min(upstream.rows, 1024)
    let partial = scratch(.partialColumns, ofBytes: blocks * width * 4)
    let options = rowOptions(width, upstream)
    launch(
      "training", "sum_rows", options: options, grid: LaunchSize(blocks),
      block: LaunchSize(rowThreads(width, most: 1024)), programmatic: false,
      arguments: upstream.deviceAddress, partial, Int64(upstream.rows), Int32(width))
    launch(
      "training", "add_columns", options: options, grid: LaunchSize((width + 7) / 8), block: 1024,
      programmatic: false,
      arguments: partial, biasGradient.deviceAddress, Int32(blocks), Int32(width))
  }
}
