/// The KV cache of a session: blocks of all layers, and which of them each sequence has.
struct SessionCache {
  /// The blocks of each layer. Block 0 belongs to no sequence: rows that fill a captured step write there.
  let layers: [KeyValueBlocks]
  /// The blocks of the sequence in each slot, int32 `[slots, blocksPerSequence]`. Slot 0 has no sequence.
  let blockTables: Tensor
  /// The rotations of positions.
  let table: RotaryTable
  /// The model with this cache, for backends that run a step of one row as one operation; `nil` where
  /// that lacks what a layer has, or ranks share the model.
  let fused: FusedDecodeModel?

  /// A cache of `blocks` blocks for sequences of up to `contextLength` tokens in `slots` slots; `batch`
  /// says the slot of a step of one row.
  init(
    _ model: InferenceModel, blocks: Int, slots: Int, contextLength: Int, batch: InputBatch
  ) {
    let backend = model.backend
    let perSequence = Self.blockCount(tokens: contextLength, on: backend)
    let (layers, tables) = backend.allocate { layout in
      (
        Self.layers(of: model, blocks: blocks, in: &layout),
        layout.tensor([slots, perSequence], .int32)
      )
    }
    (self.layers, blockTables) = (layers, tables)
    table = model.rotary.table(context: contextLength)
    fused = model.fusedDecodeModel(
      over: layers, slots: batch.slots[0..<1], blockTables: tables, contextLength: contextLength)
  }

  private static func layers(
    of model: InferenceModel, blocks: Int, in layout: inout ArenaLayout
  ) -> [KeyValueBlocks] {
    model.layers.map { layer in
      KeyValueBlocks(
        layer.attention, blocks: blocks, blockSize: model.backend.cacheBlockSize,
        type: model.cacheType, in: &layout)
    }
  }

  /// The blocks of a sequence of `tokens` tokens.
  static func blockCount(tokens: Int, on backend: any InferenceBackend) -> Int {
    (tokens + backend.cacheBlockSize - 1) / backend.cacheBlockSize
  }

  /// Bytes of `blocks` blocks of all layers.
  static func byteCount(_ model: InferenceModel, blocks: Int) -> Int {
    ArenaLayout.measure { layout in _ = layers(of: model, blocks: blocks, in: &layout) }
  }

  /// Copies a block of every layer.
  func copy(_ block: Int32, into other: Int32, on backend: any InferenceBackend) {
    let (from, to) = (Int(block), Int(other))
    for layer in layers {
      for part in [layer.keys, layer.values] {
        backend.copy(part[from..<from + 1], into: part[to..<to + 1])
      }
    }
  }
}
