/// Rotated keys and values of one layer, `[kvHeads, capacity, headSize]` each.
struct KeyValueCache: Sendable {
  let keys: Tensor
  let values: Tensor

  init(_ shape: AttentionShape, capacity: Int, in layout: inout ArenaLayout) {
    keys = layout.tensor([shape.kvHeads, capacity, shape.headSize])
    values = layout.tensor([shape.kvHeads, capacity, shape.headSize])
  }

  /// Copies what the tokens of `positions` left here, head by head.
  func copy(
    _ positions: Range<Int>, into other: KeyValueCache, on backend: any InferenceBackend
  ) {
    let (heads, capacity, size) = (keys.shape[0], keys.shape[1], keys.shape[2])
    for head in 0..<heads {
      let rows = head * capacity + positions.lowerBound..<head * capacity + positions.upperBound
      for (source, target) in [(keys, other.keys), (values, other.values)] {
        backend.copy(
          source.reshaped([heads * capacity, size])[rows],
          into: target.reshaped([heads * capacity, size])[rows])
      }
    }
  }
}

/// Tokens and their positions on their way to the model, in memory that this machine writes.
struct InputBatch {
  let tokens: Tensor
  let positions: Tensor

  init(_ rows: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
  }

  /// Writes `tokens`, the first of which has the position `position`, from a row on.
  func enter(_ tokens: some Collection<Int32>, at position: Int, firstRow: Int = 0) {
    for (index, token) in tokens.enumerated() {
      self.tokens.integers[firstRow + index] = token
      positions.integers[firstRow + index] = Int32(position + index)
    }
  }
}

/// The activations of the rows at work, shared by all layers.
struct DecodeBuffers {
  var tokens: Tensor
  var positions: Tensor
  var residual: Tensor
  var qkv: Tensor
  var attention: Tensor
  var feedForward: InferenceActivations
  let logits: Tensor

  var capacity: Int { tokens.count }

  init(_ c: ModelConfiguration, rows: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    residual = layout.tensor([rows, c.hiddenSize])
    qkv = layout.tensor([rows, c.attention.rowWidth])
    attention = layout.tensor([rows, c.attention.queryWidth])
    feedForward = InferenceActivations(c.feedForward, rows: rows, in: &layout)
    logits = layout.tensor([1, c.vocabularySize])
  }

  /// The same memory for some of the rows.
  subscript(range: Range<Int>) -> DecodeBuffers {
    var result = self
    result.tokens = tokens[range]
    result.positions = positions[range]
    result.residual = residual[range]
    result.qkv = qkv[range]
    result.attention = attention[range]
    result.feedForward = feedForward[range]
    return result
  }
}

extension InferenceModel {
  /// The caches of a text of at most `capacity` tokens, one for each layer.
  func makeCaches(capacity: Int) -> [KeyValueCache] {
    let (_, caches) = backend.allocate { layout in
      (0..<configuration.layers).map { _ in
        KeyValueCache(configuration.attention, capacity: capacity, in: &layout)
      }
    }
    return caches
  }

  /// Throws unless `tokens` can follow `position` others in a cache of `capacity`.
  func check(
    _ tokens: some Collection<Int32>, at position: Int, capacity: Int
  ) throws(GenerationError) {
    guard !tokens.isEmpty else {
      throw GenerationError(.emptyPrompt, "no tokens to continue from: expected at least one")
    }
    guard position + tokens.count <= capacity else {
      throw GenerationError(
        .contextLength,
        "\(position + tokens.count) tokens do not fit a context of \(capacity)",
        remedy: "shorten the prompt")
    }
    let vocabulary = configuration.vocabularySize
    if let bad = tokens.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
      throw GenerationError(
        .tokenID, "token id \(bad): expected 0 to \(vocabulary - 1)",
        remedy: "use the tokenizer that the model was trained with")
    }
  }

  /// Waits for what was enqueued, and throws what went wrong in it.
  func finish() throws(GenerationError) {
    do { try backend.finish() } catch {
      throw GenerationError(.backend, error.message, remedy: error.remedy)
    }
  }

  /// Runs the rows of `a` through every block, into their residuals, and leaves the logits of what
  /// follows the last row where they are wanted. Projections and units see all rows at once;
  /// attention sees a text's rows and its cache. Rows that are entered are brought to `a` first.
  func enqueue(
    _ entered: InputBatch?, into a: DecodeBuffers,
    texts: [(rows: DecodeBuffers, caches: [KeyValueCache])], logits: Tensor? = nil
  ) {
    let count = a.tokens.count
    if let entered {
      backend.copy(entered.tokens[0..<count], into: a.tokens)
      backend.copy(entered.positions[0..<count], into: a.positions)
    }
    if count == 1, let cached = cached(texts[0].caches),
      backend.decode(
        cached, token: a.tokens, position: a.positions, residual: a.residual, logits: logits)
    {
      return
    }
    backend.embed(a.tokens, table: embedding, into: a.residual)
    for (index, layer) in layers.enumerated() {
      backend.fusedLinear(
        layer.qkv, a.residual, norm: layer.inputNorm, precision: precision, into: a.qkv)
      for text in texts {
        let (rows, cache) = (text.rows, text.caches[index])
        backend.attentionCached(
          rows.qkv, shape: configuration.attention, positions: rows.positions, table: rotary,
          keys: cache.keys, values: cache.values, into: rows.attention)
      }
      backend.fusedLinear(
        layer.output, a.attention, precision: precision, accumulate: true, into: a.residual)
      layer.unit.forward(
        a.residual, norm: layer.postAttentionNorm, precision: precision, into: a.feedForward,
        on: backend)
      backend.fusedLinear(
        layer.down, a.feedForward.output, precision: precision, accumulate: true,
        into: a.residual)
    }
    guard let logits else { return }
    backend.fusedLinear(
      head, a.residual[count - 1..<count], norm: norm, precision: precision, into: logits)
  }

  /// The model with a text's caches, or `nil` where units are routed.
  private func cached(_ caches: [KeyValueCache]) -> FusedDecodeModel? {
    if layers.contains(where: { $0.unit.router != nil }) { return nil }
    let layers = zip(layers, caches).map { layer, cache in
      FusedDecodeLayer(
        inputNorm: layer.inputNorm, qkv: layer.qkv, output: layer.output,
        unitNorm: layer.postAttentionNorm, up: layer.unit.weights, down: layer.down,
        keys: cache.keys, values: cache.values)
    }
    return FusedDecodeModel(
      embedding: embedding, layers: layers, norm: norm, head: head,
      shape: configuration.attention, table: rotary, precision: precision)
  }
}
