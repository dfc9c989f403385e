/// The sizes of a session, and what it allocates.
struct SessionPlan {
  let maxSequences: Int
  let contextLength: Int
  let prefillChunkSize: Int
  /// The blocks of the KV cache that sequences may have.
  let cacheBlocks: Int
  /// Most rows of a step that decodes.
  let decodeRows: Int
  private let blocksPerSequence: Int

  init(
    _ model: InferenceModel, maxSequences: Int, contextLength: Int?, cacheBlocks: Int?,
    prefillChunkSize: Int?
  ) {
    let (limit, size) = (model.configuration.contextLength, model.backend.cacheBlockSize)
    let longest = max(1, min(contextLength ?? limit, limit))
    let perSequence = SessionCache.blockCount(tokens: longest, on: model.backend)
    self.maxSequences = min(max(1, maxSequences), InferenceSession.mostSequences)
    self.cacheBlocks = max(1, cacheBlocks ?? self.maxSequences * perSequence)
    blocksPerSequence = min(perSequence, self.cacheBlocks)
    self.contextLength = min(longest, blocksPerSequence * size)
    // A block at least, so that every step can read on.
    let chunk = max(
      size, prefillChunkSize ?? InferenceSession.prefillChunkSize(on: model.backend))
    self.prefillChunkSize = min(chunk, self.contextLength * self.maxSequences)
    decodeRows = StepSizes.padded(self.maxSequences)
  }

  /// One for each sequence, and one for rows of none.
  var slots: Int { maxSequences + 1 }

  /// Most rows of a step.
  private var rows: Int { prefillChunkSize + decodeRows }

  func batch(in layout: inout ArenaLayout) -> InputBatch {
    InputBatch(
      rows: rows, sampled: decodeRows, chunks: min(maxSequences, prefillChunkSize), in: &layout)
  }

  func blockTables(in layout: inout ArenaLayout) -> Tensor {
    layout.tensor([slots, blocksPerSequence], .int32)
  }

  /// Activations, logits, and the residuals of sampled rows.
  func buffers(
    _ model: InferenceModel, in layout: inout ArenaLayout
  ) -> (buffers: DecodeBuffers, logits: Tensor, gathered: Tensor) {
    let c = model.configuration
    // So many rows of a prompt's are scored at a time: a GPU reads the head's matrix once for them.
    let logitsRows = max(decodeRows, min(model.backend.isAsynchronous ? 256 : 32, rows))
    let alignment = logitsAlignment / DataType.float32.byteCount
    let columns = (c.vocabularySize + alignment - 1) / alignment * alignment
    return (
      DecodeBuffers(model, rows: rows, in: &layout), layout.tensor([logitsRows, columns]),
      layout.tensor([logitsRows, c.hiddenSize])
    )
  }

  /// Bytes of all but the KV cache, where the model computes. On a CPU that is where the host writes what
  /// steps read, too.
  func bufferByteCount(_ model: InferenceModel) -> Int {
    let inputs = ArenaLayout.measure { layout in
      _ = batch(in: &layout)
      _ = blockTables(in: &layout)
    }
    let copies = model.deviceMemory == nil ? InferenceSession.turns + 1 : 1
    return copies * inputs + ArenaLayout.measure { _ = buffers(model, in: &$0) }
  }
}

extension InferenceSession {
  /// Most sequences of any session, which has no more if it is asked for more: each takes buffers of
  /// its own, and the sizes of many more would overflow.
  public static let mostSequences = 1 << 16
}

extension InferenceModel {
  /// Bytes of the KV cache of a session of so many blocks.
  public func cacheByteCount(blocks: Int) -> Int {
    SessionCache.byteCount(self, blocks: blocks + 1)
  }

  /// Bytes of the keys and values of a token.
  public var cacheByteCountPerToken: Int {
    let shape = configuration.attention
    return configuration.layers * 2 * shape.kvWidth * cacheType.byteCount
  }

  /// How many blocks of a KV cache hold a sequence of so many tokens.
  public func cacheBlocks(tokens: Int) -> Int {
    SessionCache.blockCount(tokens: tokens, on: backend)
  }

  /// Bytes that a session takes beside its KV cache where it computes; see
  /// ``InferenceSession/init(_:maxSequences:contextLength:cacheBlocks:prefillChunkSize:)``.
  public func sessionByteCount(
    maxSequences: Int, contextLength: Int? = nil, prefillChunkSize: Int? = nil
  ) -> Int {
    SessionPlan(
      self, maxSequences: maxSequences, contextLength: contextLength, cacheBlocks: nil,
      prefillChunkSize: prefillChunkSize
    ).bufferByteCount(self)
  }
}
