// Rotary positions in training; inference rotates within its attention.

extension CPUBackend {
  public func rotate(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, inverse: Bool
  ) {
    precondition(qkv.columns == shape.rowWidth, "qkv has another width")
    guard shape.rotarySize > 0 else { return }
    precondition(table.cosine.columns == shape.rotarySize / 2, "positions of other heads")
    pool.forEachRange(of: qkv.rows, grain: max(1, 8192 / qkv.columns)) { range in
      kernels.rope(
        qkv.floats, Int64(qkv.columns), Int64(shape.heads + shape.kvHeads), Int64(shape.headSize),
        Int64(shape.rotarySize), positions.integers, table.cosine.floats, table.sine.floats,
        inverse ? -1 : 1,
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }
}
