extension InferenceModel {
  /// The rows of one sequence in a step, and its cache.
  typealias SequenceRows = (rows: DecodeBuffers, cache: CacheSlot)

  /// Enqueues the rows of `a` through every block, into their residuals; projections and units see
  /// all rows at once, attention sees the rows of one sequence and its cache. An input batch is
  /// brought to `a` first. A step of a single row leaves its logits `[1, >= V]`, where they are
  /// wanted, as the same operation where the backend has that. The last `promptRows` rows are those of
  /// prompts.
  func forward(
    _ input: InputBatch?, into a: DecodeBuffers, sequences: [SequenceRows], promptRows: Int = 0,
    logits: Tensor? = nil
  ) {
    let count = a.tokens.count
    if let input {
      backend.copy(input.tokens[0..<count], into: a.tokens)
      backend.copy(input.positions[0..<count], into: a.positions)
    }
    if count == 1, let fused = sequences[0].cache.fused,
      backend.decode(
        fused, token: a.tokens, position: a.positions, residual: a.residual, logits: logits)
    {
      return
    }
    backend.embed(a.tokens, table: embedding, into: a.residual)
    for (index, layer) in layers.enumerated() {
      backend.fusedLinear(
        layer.qkv, a.residual, norm: layer.inputNorm, promptRows: promptRows,
        precision: precision, into: a.qkv)
      if let bias = layer.qkvBias { backend.addBias(bias, to: a.qkv) }
      let shape = layer.attention
      for (norm, heads) in [(layer.queryNorm, shape.queryHeads), (layer.keyNorm, shape.keyHeads)] {
        guard let norm else { continue }
        backend.rmsNormInPlace(a.qkv, parts: heads, weight: norm.weight, epsilon: norm.epsilon)
      }
      for (rows, slot) in sequences {
        let cache = slot.layers[index]
        backend.attentionCached(
          rows.qkv, shape: shape, positions: rows.positions,
          table: rotary.table(context: cache.capacity),
          keys: cache.keys, values: cache.values, into: rows.attention)
      }
      backend.fusedLinear(
        layer.output, a.attention, promptRows: promptRows, precision: precision, accumulate: true,
        into: a.residual)
      if let bias = layer.outputBias { backend.addBias(bias, to: a.residual) }
      layer.unit.forward(
        a.residual, norm: layer.postAttentionNorm, promptRows: promptRows, precision: precision,
        into: a.feedForward, on: backend)
      backend.fusedLinear(
        layer.down, a.feedForward.output, promptRows: promptRows, precision: precision,
        accumulate: true, into: a.residual)
    }
    if let logits { self.logits(of: a.residual, into: logits) }
  }

  /// Enqueues the head: logits `[n, >= V]` of residuals `[n, h]`.
  func logits(of residual: Tensor, promptRows: Int = 0, into logits: Tensor) {
    backend.fusedLinear(
      head, residual, norm: norm, promptRows: promptRows, precision: precision, into: logits)
  }

  /// The model with a sequence's caches as one operation, or `nil` where a layer has what that lacks.
  func fusedDecodeModel(over caches: [KeyValueCache]) -> FusedDecodeModel? {
    nil
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

  /// Waits for all enqueued operations, and throws the first failure among them.
  func finish() throws(GenerationError) {
    do { try backend.finish() } catch {
      throw GenerationError(.backend, error.message, remedy: error.remedy)
    }
  }
}

extension DecoderLayer<PackedWeights, Tensor, RMSNorm, FusedFeedForward> {
  /// Whether it has no router, no norms of heads and no biases, rotates whole heads, and sees all of a
  /// cache of so many positions.
  fileprivate func isPlain(capacity: Int) -> Bool {
    unit.router == nil && queryNorm == nil && qkvBias == nil && outputBias == nil
      && attention.rotarySize == attention.headSize && (attention.window ?? capacity) >= capacity
  }
}
