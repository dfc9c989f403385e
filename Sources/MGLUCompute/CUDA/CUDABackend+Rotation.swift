// Rotary positions in training, through training.cu. Positions should lie in the GPU's memory.

extension CUDABackend {
  public func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool
  ) {
    precondition(
      qkv.dataType == .bfloat16 && qkv.columns == shape.rowWidth, "qkv has another width or type")
    guard qkv.rows > 0, shape.rotarySize > 0 else { return }
    precondition(table.cosine.columns == shape.rotarySize / 2, "positions of other heads")
    let (heads, half) = (shape.heads + shape.kvHeads, shape.rotarySize / 2)
    // Every part begins at a multiple of eight elements, or none is taken to.
    let columns = shape.headSize % 8 == 0 ? half : shape.headSize
    let across = min(heads * ((half + 7) / 8), 256)
    let block = LaunchSize(across, 256 / across)
    launch(
      "training", "rotate", options: rowOptions(columns, qkv, table.cosine, table.sine),
      grid: LaunchSize((qkv.rows + block.y - 1) / block.y), block: block, programmatic: false,
      arguments: qkv.deviceAddress, positions.deviceAddress, table.cosine.deviceAddress,
      table.sine.deviceAddress, Float(inverse ? -1 : 1), Int64(qkv.rows), Int32(qkv.columns),
      Int32(heads), Int32(shape.headSize), Int32(half))
  }
}
