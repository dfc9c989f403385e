// Rotary positions in training, through training.cu. Positions should lie in the GPU's memory.

extension CUDABackend {
  public func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool
  ) {
    precondition(
      qkv.dataType == .bfloat16 && qkv.columns == shape.rowWidth, "qkv has another width or type")
    guard qkv.rows > 0 else { return }
    let (heads, half) = (shape.heads + shape.kvHeads, shape.headSize / 2)
    let across = min(heads * ((half + 7) / 8), 256)
    let block = LaunchSize(across, 256 / across)
    launch(
      "training", "rotate", options: rowOptions(half, qkv, table.cosine, table.sine),
      grid: LaunchSize((qkv.rows + block.y - 1) / block.y), block: block, programmatic: false,
      arguments: qkv.deviceAddress, positions.deviceAddress, table.cosine.deviceAddress,
      table.sine.deviceAddress, Float(inverse ? -1 : 1), Int64(qkv.rows), Int32(qkv.columns),
      Int32(heads), Int32(half))
  }
}
