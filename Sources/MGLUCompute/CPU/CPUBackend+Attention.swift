import CMGLUKernels

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
    // Rows that a window cuts off differ in where they begin: they attend one by one.
    if count > 1, shape.firstVisible(from: total - 1) == 0 {
      return attendPrompt(
        qkv, shape: shape, position: position, keys: keys, values: values, into: output)
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

  /// Attention of several rows from `position` on, whose keys and values are in the cache. A sequence
  /// reads its prompt in the same chunks in any company, so that its results are its own.
  private func attendPrompt(
    _ qkv: Tensor, shape: AttentionShape, position: Int, keys: Tensor, values: Tensor,
    into output: Tensor
  ) {
    let (size, group) = (shape.headSize, shape.heads / shape.kvHeads)
    let (count, capacity, most) = (qkv.rows, keys.shape[1], Int(CMGLU_ATTENDING_ROWS))
    let own = Int(cmglu_attending_scratch(Int64(group), Int64(size)))
    let scratch = scratch(ofBytes: threadCount * own * 4).assumingMemoryBound(to: Float.self)
    let (queries, results) = (qkv.floats, output.floats)
    let (keyBase, valueBase) = (keys.floats, values.floats)
    let blocks = (count + most - 1) / most
    func attend(_ item: Int, _ member: Int) {
      let (block, kvHead) = item.quotientAndRemainder(dividingBy: shape.kvHeads)
      // The longest rows first, so that no thread is left with them at the end.
      let row = (blocks - 1 - block) * most
      let (first, kvOffset) = (kvHead * group * size, kvHead * capacity * size)
      kernels.attend_rows(
        queries + row * shape.rowWidth + first, Int64(shape.rowWidth), Int64(group),
        Int64(min(most, count - row)), keyBase + kvOffset, valueBase + kvOffset, Int64(size),
        Int64(size), Int64(position + row), shape.scale, scratch + member * own,
        results + row * shape.queryWidth + first, Int64(shape.queryWidth))
    }
    let items = blocks * shape.kvHeads
    if count * shape.heads * (position + count) * size < 1 << 17 {
      for item in 0..<items { attend(item, 0) }
    } else {
      pool.forEach(items, attend)
    }
  }
}
