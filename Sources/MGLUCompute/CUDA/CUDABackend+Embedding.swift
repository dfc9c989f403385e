// Rows of an embedding: of packed weights in inference, of a tensor in training.
//
// Tokens of training should lie in the GPU's memory: each block that needs them reads them.

extension CUDABackend {
  public func embed(_ tokens: Tensor, table: PackedWeights, into x: Tensor) {
    precondition(tokens.count == x.rows && table.columns == x.columns, "x has another size")
    let grid = LaunchSize(x.rows)
    if let cells = table.cells {
      launch(
        "tokens", "embed", grid: grid, block: 256,
        arguments: tokens.deviceAddress, cells.deviceAddress, x.deviceAddress, Int32(x.columns),
        table.type.dataType.kernelValue.argument)
    } else {
      launch(
        "tokens", "embed_rows", grid: grid, block: 256,
        arguments: tokens.deviceAddress, table.plainRows.planes[0].deviceAddress,
        x.deviceAddress, Int32(x.columns))
    }
  }

  public func embed(_ tokens: Tensor, table: Tensor, into x: Tensor) {
    let width = table.columns
    precondition(
      table.dataType == .bfloat16 && x.dataType == .bfloat16 && x.count == tokens.count * width,
      "x has another size or type")
    guard tokens.count > 0 else { return }
    launch(
      "training", "embed", options: rowOptions(width, table, x),
      grid: LaunchSize((tokens.count + 7) / 8), block: 256, programmatic: false,
      arguments: tokens.deviceAddress, table.deviceAddress, x.deviceAddress, Int64(tokens.count),
      Int32(width))
  }

  public func embedBackward(_ gradient: Tensor, tokens: Tensor, tableGradient: Tensor) {
    let width = gradient.columns
    precondition(
      gradient.dataType == .bfloat16 && tableGradient.dataType == .float32
        && gradient.rows == tokens.count && tableGradient.columns == width,
      "the gradients have other sizes or types")
    // Every block reads all of them.
    precondition(!tokens.arena.isHostVisible, "tokens are expected in the GPU's memory")
    // As many blocks as training.cu says OWNERS.
    launch(
      "training", "embed_backward", options: rowOptions(width, gradient, tableGradient),
      grid: 1024, block: 384, programmatic: false,
      arguments: gradient.deviceAddress, tokens.deviceAddress, tableGradient.deviceAddress,
      Int64(tokens.count), Int32(width))
  }
}
