extension InferenceModel {
  /// The type of the activations between products, but for the residual and logits, which are float32.
  var activationType: DataType {
    backend.activationType(weights: weightType, precision: precision)
  }

  /// The type of queries, keys and values before attention: norms of heads and biases take float32.
  var qkvType: DataType {
    let isPlain = layers.allSatisfy {
      $0.qkvBias == nil && $0.queryNorm == nil && $0.keyNorm == nil
    }
    return isPlain ? activationType : .float32
  }

  /// The type of the KV cache.
  var cacheType: DataType { backend.cacheType(weights: weightType, precision: precision) }

  /// Enqueues the rows of a step through every block, into the residuals of `a`; projections and units
  /// see all rows at once, attention sees the rows of each sequence and its cache.
  ///
  /// A step of a single row that decodes leaves its logits `[1, >= V]`, where they are wanted, as the same
  /// operation where the backend has that.
  func forward(
    _ tokens: Tensor, rows: AttentionRows, into a: DecodeBuffers, cache: SessionCache,
    logits: Tensor? = nil
  ) {
    let promptRows = a.count - rows.decodeRows
    if a.count == 1, promptRows == 0, let fused = cache.fused,
      backend.decode(
        fused, token: tokens, position: rows.positions, residual: a.residual, logits: logits)
    {
      return
    }
    backend.embed(tokens, table: embedding, into: a.residual)
    for (index, layer) in layers.enumerated() {
      backend.fusedLinear(
        layer.qkv, a.residual, norm: layer.inputNorm, promptRows: promptRows,
        precision: precision, into: a.qkv)
      if let bias = layer.qkvBias { backend.addBias(bias, to: a.qkv) }
      let shape = layer.attention
      let heads = orders(
        of: shape.queryWidth, headSize: shape.headSize, for: layer.output, rows.decodeRows)
      let intermediate = orders(
        of: layer.unit.intermediateSize, for: layer.down, rows.decodeRows)
      for (norm, parts) in [(layer.queryNorm, shape.queryHeads), (layer.keyNorm, shape.keyHeads)] {
        guard let norm else { continue }
        backend.rmsNormInPlace(a.qkv, parts: parts, weight: norm.weight, epsilon: norm.epsilon)
      }
      backend.attention(
        a.qkv, shape: shape, rows: rows, table: cache.table, cache: cache.layers[index],
        orders: heads, into: a.attention)
      add(layer.output, of: a.attention, promptRows: promptRows, orders: heads, to: a)
      if let bias = layer.outputBias { backend.addBias(bias, to: a.residual) }
      layer.unit.forward(
        a.residual, norm: layer.postAttentionNorm, promptRows: promptRows, precision: precision,
        orders: intermediate, into: a.feedForward, on: backend)
      add(
        layer.down, of: a.feedForward.output, promptRows: promptRows, orders: intermediate, to: a)
    }
    if let logits { self.logits(of: a.residual, into: logits) }
  }

  /// Enqueues the addition of a projection of x to the residuals: where ranks share the model, of the sum of
  /// what each makes of its columns.
  private func add(
    _ projection: PackedWeights, of x: Tensor, promptRows: Int, orders: ColumnOrders,
    to a: DecodeBuffers
  ) {
    guard let communicator, let partials = a.partials else {
      return backend.fusedLinear(
        projection, x, promptRows: promptRows, precision: precision, accumulate: true,
        orders: orders, into: a.residual)
    }
    let (rank, ranks, count) = (communicator.group.rank, communicator.group.size, a.count)
    let pieces = (0..<ranks).map { partials[$0 * count..<($0 + 1) * count] }
    backend.fusedLinear(
      projection, x, promptRows: promptRows, precision: precision, orders: orders,
      into: pieces[rank])
    communicator.allGather(pieces.map { [$0] })
    // Every rank adds all in one order, so that residuals are equal bit for bit.
    backend.addRows(
      partials.reshaped([ranks, a.residual.count]), into: a.residual.reshaped([a.residual.count]),
      accumulates: true)
  }

  /// How rows lie between an operation and the projection that reads them.
  private func orders(
    of width: Int, headSize: Int? = nil, for projection: PackedWeights, _ decodeRows: Int
  ) -> ColumnOrders {
    backend.columnOrders(
      decodeRows: decodeRows, width: width, headSize: headSize, weights: projection.type,
      precision: precision)
  }

  /// Enqueues the head: logits `[n, >= V]` of residuals `[n, h]`.
  func logits(of residual: Tensor, promptRows: Int = 0, into logits: Tensor) {
    backend.fusedLinear(
      head, residual, norm: norm, promptRows: promptRows, precision: precision, into: logits)
  }

  /// The model with a session's cache as one operation, or `nil` where a layer has what that lacks, or
  /// ranks share the model.
  func fusedDecodeModel(
    over caches: [KeyValueBlocks], slots: Tensor, blockTables: Tensor, contextLength: Int
  ) -> FusedDecodeModel? {
    guard communicator == nil, let shape = layers.first?.attention,
      layers.allSatisfy({ $0.isPlain(contextLength: contextLength) })
    else { return nil }
    return FusedDecodeModel(
      stack.map(projection: { $0 }, bias: { $0 }, norm: { $0 }, unit: { $0.weights }),
      caches: caches, slots: slots, blockTables: blockTables, shape: shape,
      table: rotary.table(context: contextLength), precision: precision)
  }

  /// Throws unless `tokens` can follow `position` others in a context of `capacity`.
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
    do { try communicator?.finish() } catch {
      throw GenerationError(.backend, error.message, remedy: error.remedy)
    }
    do { try backend.finish() } catch {
      throw GenerationError(.backend, error.message, remedy: error.remedy)
    }
  }
}

extension DecoderLayer<PackedWeights, Tensor, RMSNorm, FusedFeedForward> {
  /// Whether it has no router, no norms of heads and no biases, rotates whole heads, and sees all of a
  /// context of so many tokens.
  fileprivate func isPlain(contextLength: Int) -> Bool {
    unit.router == nil && queryNorm == nil && qkvBias == nil && outputBias == nil
      && attention.rotarySize == attention.headSize
      && (attention.window ?? contextLength) >= contextLength
  }
}
