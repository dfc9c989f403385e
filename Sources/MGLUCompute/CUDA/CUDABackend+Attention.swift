import CMGLUKernels

// Attention of new rows over the cache of their sequence, through attention.cu.

extension CUDABackend {
  public func attentionCached(
    _ qkv: Tensor, shape: AttentionShape, positions: Tensor, table: RotaryTable, keys: Tensor,
    values: Tensor, into output: Tensor
  ) {
    let (rows, capacity, group) = (qkv.rows, keys.shape[1], shape.heads / shape.kvHeads)
    precondition(
      keys.columns == shape.headSize && keys.count == shape.kvHeads * capacity * shape.headSize
        && values.count == keys.count && rows <= capacity,
      "a cache of \(keys.shape) for \(rows) rows of \(shape)")
    let device = context.device
    let hasClusters = device.capability.major >= 9
    // Several rows are blocks enough; a cluster has eight blocks at most.
    let mostSplits = rows > 1 ? 1 : max(1, min(capacity / 32, hasClusters ? 8 : 64))
    // As many queries to a block as shared memory has room for what eight warps find for each, as
    // long as there are blocks enough for most of the multiprocessors.
    let counts = (1...max(1, min(group, 4, 1024 / shape.headSize))).filter { group % $0 == 0 }
    let queries =
      counts.last {
        shape.heads / $0 * mostSplits * rows * 10 >= device.multiprocessorCount * 9
      } ?? 1
    let blocks = shape.heads / queries
    let splits =
      hasClusters ? mostSplits : max(1, min(mostSplits, device.multiprocessorCount / blocks))
    guard rows <= 65535 else {
      return fail(.unsupportedDevice, "\(rows) new rows at a time: a GPU takes 65535 at most")
    }
    // The cache is read before the kernel waits, so what wrote it must be done.
    if !cachesInWriting.insert(keys.deviceAddress).inserted { orderNext() }
    var arguments = cmglu_cuda_attention()
    arguments.qkv = qkv.deviceAddress
    arguments.keys = keys.deviceAddress
    arguments.values = values.deviceAddress
    arguments.output = output.deviceAddress
    arguments.cosine = table.cosine.deviceAddress
    arguments.sine = table.sine.deviceAddress
    arguments.positions = positions.deviceAddress
    if splits > 1, !hasClusters {
      arguments.counters = scratch(.counters, ofBytes: blocks * 4)
      arguments.partial = scratch(
        .partialAttention, ofBytes: shape.heads * splits * (shape.headSize + 2) * 4)
    }
    arguments.heads = Int32(shape.heads)
    arguments.kv_heads = Int32(shape.kvHeads)
    arguments.capacity = Int32(capacity)
    arguments.window = Int32(clamping: shape.window ?? .max)
    arguments.scale = shape.scale
    launch(
      "attention", "attention", options: Self.options(shape, queries: queries),
      grid: LaunchSize(blocks, splits, rows), block: 256,
      cluster: hasClusters && splits > 1 ? LaunchSize(1, splits, 1) : nil, arguments: arguments)
    cachesInWriting.insert(keys.deviceAddress)
  }

  private static func options(_ shape: AttentionShape, queries: Int) -> [String] {
    let options = ["-DHEAD=\(shape.headSize)", "-DQUERIES=\(queries)"]
    return shape.rotarySize == shape.headSize ? options : options + ["-DROTARY=\(shape.rotarySize)"]
  }
}
