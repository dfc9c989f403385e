import CMGLUKernels

// Attention of the rows of a step over the caches of their sequences.

extension CPUBackend {
  public var cacheBlockSize: Int { Int(CMGLU_KEY_BLOCK) }

  public func attention(
    _ qkv: Tensor, shape: AttentionShape, rows: AttentionRows, table: RotaryTable,
    cache: KeyValueBlocks, orders: ColumnOrders, into output: Tensor
  ) {
    precondition(
      cache.blockSize == cacheBlockSize && cache.keys.columns == shape.headSize
        && cache.keys.shape[1] == shape.kvHeads && rows.positions.count == qkv.rows
        && rows.decodeRows + rows.chunks.reduce(0) { $0 + $1.rows.count } == qkv.rows,
      "a cache of \(cache.keys.shape) for \(qkv.rows) rows of \(shape)")
    rotate(qkv, shape: shape, positions: rows.positions, table: table, inverse: false)
    let tables = rows.blockTables.integers
    let step = AttentionStep(
      shape: shape, queries: qkv.floats, keys: cache.keys.floats, values: cache.values.floats,
      results: output.floats, tables: tables, tableWidth: rows.blockTables.columns,
      positions: rows.positions.integers, slots: rows.slots.integers)
    for row in 0..<qkv.rows { step.store(row) }
    if rows.decodeRows > 0 { attend(rows.decodeRows, step) }
    for chunk in rows.chunks { attend(chunk, step) }
  }

  /// The first rows, which decode: a row and the heads that share a key-value head at a time, so that one
  /// thread fetches its keys and values.
  private func attend(_ count: Int, _ step: AttentionStep) {
    let (shape, size) = (step.shape, Int64(step.shape.headSize))
    // As much at every position: a scratch that grew with it would be allocated anew.
    let capacity = step.tableWidth * cacheBlockSize
    let memory = scratch.take(byteCount: threadCount * capacity * 4)
    defer { scratch.giveBack(memory) }
    let scores = memory.base.assumingMemoryBound(to: Float.self)
    let group = shape.heads / shape.kvHeads
    func attend(_ item: Int, _ member: Int) {
      let (row, kvHead) = item.quotientAndRemainder(dividingBy: shape.kvHeads)
      let (position, offset) = (Int(step.positions[row]), step.offset(kvHead))
      for head in kvHead * group..<(kvHead + 1) * group {
        kernels.attend(
          step.queries + row * shape.rowWidth + head * shape.headSize, step.keys + offset,
          step.values + offset, step.blocks(Int(step.slots[row])), step.blockStride, size,
          Int64(shape.firstVisible(from: position)), Int64(position + 1), shape.scale,
          scores + member * capacity,
          step.results + row * shape.queryWidth + head * shape.headSize)
      }
    }
    let longest = (0..<count).reduce(0) { max($0, Int(step.positions[$1]) + 1) }
    let items = count * shape.kvHeads
    if items * group * min(longest, shape.window ?? longest) * shape.headSize < 1 << 15 {
      for item in 0..<items { attend(item, 0) }
    } else {
      pool.forEach(items, attend)
    }
  }

  /// The rows of a prompt, many at a time.
  private func attend(_ chunk: AttentionRows.Chunk, _ step: AttentionStep) {
    let shape = step.shape
    let (size, group) = (shape.headSize, shape.heads / shape.kvHeads)
    let (count, most) = (chunk.rows.count, Int(CMGLU_ATTENDING_ROWS))
    let own = Int(cmglu_attending_scratch(Int64(group), Int64(size)))
    let memory = scratch.take(byteCount: threadCount * own * 4)
    defer { scratch.giveBack(memory) }
    let floats = memory.base.assumingMemoryBound(to: Float.self)
    let parts = (count + most - 1) / most
    let window = shape.window ?? .max
    func attend(_ item: Int, _ member: Int) {
      let (part, kvHead) = item.quotientAndRemainder(dividingBy: shape.kvHeads)
      // The longest rows first, so that no thread is left with them at the end.
      let row = (parts - 1 - part) * most
      let (first, offset) = (kvHead * group * size, step.offset(kvHead))
      let place = chunk.rows.lowerBound + row
      kernels.attend_rows(
        step.queries + place * shape.rowWidth + first, Int64(shape.rowWidth), Int64(group),
        Int64(min(most, count - row)), step.keys + offset, step.values + offset,
        step.blocks(chunk.slot), step.blockStride, Int64(size), Int64(chunk.position + row),
        Int64(window), shape.scale, floats + member * own,
        step.results + place * shape.queryWidth + first, Int64(shape.queryWidth))
    }
    let items = parts * shape.kvHeads
    let seen = min(chunk.position + count, window)
    if count * shape.heads * seen * size < 1 << 17 {
      for item in 0..<items { attend(item, 0) }
    } else {
      pool.forEach(items, attend)
    }
  }
}

/// Where the rows of a step have what attention reads and writes.
private struct AttentionStep {
  let shape: AttentionShape
  let queries, keys, values, results: UnsafeMutablePointer<Float>
  let tables: UnsafeMutablePointer<Int32>
  let tableWidth: Int
  let positions, slots: UnsafeMutablePointer<Int32>

  /// Floats from a block to the next.
  var blockStride: Int64 {
    Int64(shape.kvHeads * Int(CMGLU_KEY_BLOCK) * shape.headSize)
  }

  /// Where a head begins in each block.
  func offset(_ kvHead: Int) -> Int { kvHead * Int(CMGLU_KEY_BLOCK) * shape.headSize }

  /// The blocks of the sequence in a slot.
  func blocks(_ slot: Int) -> UnsafePointer<Int32> { UnsafePointer(tables + slot * tableWidth) }

  /// Stores the key and the value of a row in the cache.
  func store(_ row: Int) {
    let (size, length) = (shape.headSize, Int(CMGLU_KEY_BLOCK))
    let (block, place) = Int(positions[row]).quotientAndRemainder(dividingBy: length)
    let start = Int(blocks(Int(slots[row]))[block]) * Int(blockStride) + place * size
    for kvHead in 0..<shape.kvHeads {
      let source = queries + row * shape.rowWidth + shape.queryWidth + kvHead * size
      (keys + start + offset(kvHead)).update(from: source, count: size)
      (values + start + offset(kvHead)).update(from: source + shape.kvWidth, count: size)
    }
  }
}
