import CMGLUKernels

// Attention of the rows of a step over the caches of their sequences: decoding rows through
// attention_decode.cu, rows of prompts through attention_store.cu and attention_prompt.cu, and what these
// are not made for through attention.cu.

extension CUDABackend {
  public func cacheType(weights: WeightType, precision: InputPrecision) -> DataType {
    activationType(weights: weights, precision: precision)
  }

  public var cacheBlockSize: Int { AttentionLaunch.blockSize }

  public func activationType(weights: WeightType, precision: InputPrecision) -> DataType {
    switch (precision, weights) {
    case (.reduced, .float16), (.reduced, .int8): .float16
    case (.reduced, .bfloat16): .bfloat16
    default: .float32
    }
  }

  public func attention(
    _ qkv: Tensor, shape: AttentionShape, rows: AttentionRows, table: RotaryTable,
    cache: KeyValueBlocks, orders: ColumnOrders, into output: Tensor
  ) {
    let (count, type, rowType) = (rows.positions.count, cache.keys.dataType, qkv.dataType)
    precondition(
      cache.blockSize == cacheBlockSize && cache.keys.shape == cache.values.shape
        && cache.keys.shape[1] == shape.kvHeads && cache.keys.columns == shape.headSize
        && cache.values.dataType == type && output.dataType == type
        && [type, .float32].contains(rowType),
      "a cache \(cache.keys.shape) of \(type) for \(rowType) and \(shape)")
    precondition(
      qkv.rows == count && output.rows == count && rows.slots.count == count
        && rows.decodeRows <= count && (rows.decodeRows == count || rows.tiles != nil),
      "\(rows.decodeRows) of \(count) rows decode, of \(qkv.shape) into \(output.shape)")
    let (decoding, prompts) = (rows.decodeRows, count - rows.decodeRows)
    guard max(decoding, prompts) <= 65535 else {
      return fail(.unsupportedDevice, "\(count) new rows at a time: a GPU takes 65535 at most")
    }
    var arguments = cmglu_cuda_attention()
    arguments.qkv = qkv.deviceAddress
    arguments.keys = cache.keys.deviceAddress
    arguments.values = cache.values.deviceAddress
    arguments.output = output.deviceAddress
    arguments.cosine = table.cosine.deviceAddress
    arguments.sine = table.sine.deviceAddress
    arguments.positions = rows.positions.deviceAddress
    arguments.slots = rows.slots.deviceAddress
    arguments.block_tables = rows.blockTables.deviceAddress
    arguments.tiles = rows.tiles?.deviceAddress ?? 0
    arguments.heads = Int32(shape.heads)
    arguments.kv_heads = Int32(shape.kvHeads)
    arguments.blocks_per_sequence = Int32(rows.blockTables.columns)
    arguments.window = Int32(clamping: shape.window ?? .max)
    arguments.scale = shape.scale
    if decoding > 0 {
      // The cache is read before the kernel waits, so what wrote it must be done.
      if cachesInWriting.contains(cache.keys.deviceAddress) { orderNext() }
      arguments.decodes = 1
      arguments.rows = Int32(decoding)
      launch(
        .decoding(
          rows: decoding, of: rowType, shape, type, order: orders.decoding, on: context.device),
        shape, arguments)
    }
    if prompts > 0 {
      arguments.decodes = 0
      arguments.first_row = Int32(decoding)
      launch(.storing(rows: prompts, of: rowType, shape, type), shape, arguments)
      launch(
        .prompts(
          rows: prompts, of: rowType, tiles: rows.tiles?.rows ?? 0, shape, type,
          order: orders.prompts, on: context.device),
        shape, arguments)
    }
    cachesInWriting.insert(cache.keys.deviceAddress)
  }

  private func launch(
    _ launch: AttentionLaunch, _ shape: AttentionShape, _ arguments: cmglu_cuda_attention
  ) {
    var arguments = arguments
    arguments.team = Int32(launch.team)
    arguments.longest = Int32(launch.longest)
    if launch.mergedBlocks > 0 {
      arguments.counters = scratch(.counters, ofBytes: launch.mergedBlocks * 4)
      arguments.partial = scratch(
        .partialAttention,
        ofBytes: launch.grid.z * shape.heads * AttentionLaunch.splits * (shape.headSize + 2) * 4)
    }
    self.launch(
      launch.source, launch.kernel, options: launch.options, grid: launch.grid,
      block: LaunchSize(launch.threads), sharedBytes: launch.sharedBytes, cluster: launch.cluster,
      arguments: arguments)
  }
}
