import CMGLUKernels

// A model's step for one row, in one kernel.

extension CUDABackend {
  public func decode(
    _ model: FusedDecodeModel, token: Tensor, position: Tensor, residual: Tensor, logits: Tensor?
  ) -> Bool {
    let (weights, caches, shape) = (model.weights, model.caches, model.shape)
    guard let first = weights.layers.first else { return false }
    let (up, cacheType) = (first.unit, caches[0].keys.dataType)
    let blocksPerSequence = model.blockTables.columns
    precondition(
      caches[0].blockSize == cacheBlockSize, "blocks of \(caches[0].blockSize) positions")
    let pieces = model.precision.pieces(of: up.type)
    guard
      let launch = DecodeLaunch(
        layers: caches.count, hidden: up.columns, intermediate: up.rows, attention: shape,
        blocksPerSequence: blocksPerSequence, cacheType: cacheType, masks: up.gating.masks,
        planes: up.gating.planes, type: up.type, pieces: pieces, on: context.device)
    else { return false }
    var arguments = cmglu_cuda_decode()
    arguments.token = token.deviceAddress
    arguments.position = position.deviceAddress
    arguments.slot = model.slots.deviceAddress
    arguments.block_tables = model.blockTables.deviceAddress
    arguments.embedding = weights.embedding.address
    arguments.head = weights.head.address
    arguments.norm = weights.norm.weight.deviceAddress
    arguments.residual = residual.deviceAddress
    arguments.logits = logits?.deviceAddress ?? 0
    arguments.cosine = model.table.cosine.deviceAddress
    arguments.sine = model.table.sine.deviceAddress
    // The epoch, a count of blocks, what layers exchange, and what parts of attention find.
    let words =
      2
      + [up.columns, up.columns, shape.rowWidth, shape.queryWidth, up.rows]
      .reduce(0) { $0 + ($1 + 255) / 256 * 256 }
      + shape.heads * DecodeLaunch.splits * (shape.headSize + 2)
    arguments.words = scratch(.exchange, ofBytes: words * 8)
    arguments.count = Int32(caches.count)
    arguments.hidden = Int32(up.columns)
    arguments.intermediate = Int32(up.rows)
    arguments.vocabulary = Int32(weights.head.rows)
    arguments.heads = Int32(shape.heads)
    arguments.kv_heads = Int32(shape.kvHeads)
    arguments.blocks_per_sequence = Int32(blocksPerSequence)
    arguments.pieces = Int32(pieces)
    arguments.activation = up.activation.kernelValue.argument
    arguments.gating = up.gating.kernelValue.argument
    arguments.ring_bytes = Int32(launch.ringBytes)
    arguments.stages = Int32(launch.stages)
    arguments.scale = shape.scale
    arguments.epsilon = first.inputNorm.epsilon
    withUnsafeMutableBytes(of: &arguments.layers) { raw in
      let slots = raw.bindMemory(to: cmglu_cuda_layer.self)
      for (index, cache) in caches.enumerated() {
        slots[index] = cmglu_cuda_layer(weights.layers[index], cache)
      }
    }
    // Its blocks wait for one another, so that none may be kept from starting by another kernel.
    self.launch(
      "decode", "decode", options: launch.options, grid: LaunchSize(launch.grid),
      block: LaunchSize((FusedLinearVariant.warps + 1) * 32), sharedBytes: launch.sharedBytes,
      cooperative: true, programmatic: false, arguments: arguments)
    cachesInWriting.formUnion(caches.map { $0.keys.deviceAddress })
    return true
  }
}

extension cmglu_cuda_layer {
  fileprivate init(
    _ layer: DecoderLayer<PackedWeights, Tensor, RMSNorm, PackedWeights>,
    _ cache: KeyValueBlocks
  ) {
    self.init(
      qkv: layer.qkv.address, output: layer.output.address, up: layer.unit.address,
      down: layer.down.address, input_norm: layer.inputNorm.weight.deviceAddress,
      unit_norm: layer.postAttentionNorm.weight.deviceAddress, keys: cache.keys.deviceAddress,
      values: cache.values.deviceAddress)
  }
}

extension PackedWeights {
  fileprivate var address: UInt64 {
    guard let cells else { preconditionFailure("weights of another backend") }
    return cells.deviceAddress
  }
}
