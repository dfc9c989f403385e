// Attention of new rows over the cache of their sequence.

extension CPUBackend {
  public func attentionCached(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, keys: Tensor,
    values: Tensor, into output: Tensor
  ) {
    rotate(qkv, shape: shape, positions: positions, table: table, inverse: false)
    let position = Int(positions.integers[0])
    let (count, total, capacity) = (qkv.rows, position + qkv.rows, keys.shape[1])
    let size = shape.headSize
    precondition(
      keys.columns == size && keys.count == shape.kvHeads * capacity * size
        && values.count == keys.count && total <= capacity,
      "a cache of \(keys.shape) for \(total) rows of \(shape)")
    for row in 0..<count {
      for kvHead in 0..<shape.kvHeads {
        let source = qkv.floats + row * shape.rowWidth + shape.queryWidth + kvHead * size
        let offset = (kvHead * capacity + position + row) * size
        (keys.floats + offset).update(from: source, count: size)
        (values.floats + offset).update(from: source + shape.kvWidth, count: size)
      }
    }
    // As much at every position: a scratch that grew with it would be allocated anew.
    let scores = scratch(ofBytes: threadCount * capacity * 4).assumingMemoryBound(to: Float.self)
    let (queries, results) = (qkv.floats, output.floats)
    let (keyBase, valueBase) = (keys.floats, values.floats)
    let group = shape.heads / shape.kvHeads
    // A row and the heads that share a key-value head at a time, whatever the number of rows: a
    // row's result is its own, and one thread fetches its keys and values.
    func attend(_ item: Int, _ member: Int) {
      let (row, kvHead) = item.quotientAndRemainder(dividingBy: shape.kvHeads)
      let first = shape.firstVisible(from: position + row)
      let kvOffset = (kvHead * capacity + first) * size
      for head in kvHead * group..<(kvHead + 1) * group {
        kernels.attend(
          queries + row * shape.rowWidth + head * size, keyBase + kvOffset, valueBase + kvOffset,
          Int64(size), Int64(size), Int64(position + row + 1 - first), shape.scale,
          scores + member * capacity, results + row * shape.queryWidth + head * size)
      }
    }
    let items = count * shape.kvHeads
    if items * group * min(total, shape.window ?? total) * size < 1 << 15 {
      for item in 0..<items { attend(item, 0) }
    } else {
      pool.forEach(items, attend)
    }
  }
}
