extension LanguageModel {
  /// Memory for passes over `sequences` texts of `length` tokens.
  ///
  /// - Precondition: there is a sequence, and its length is 1 to the model's context length.
  public func makeActivations(
    sequences: Int, length: Int, purpose: ActivationPurpose
  ) -> ModelActivations {
    precondition(
      sequences > 0 && (1...configuration.contextLength).contains(length),
      "\(sequences) sequences of \(length) tokens: expected one or more of 1 to "
        + "\(configuration.contextLength), the context of the model")
    let rows = sequences * length
    let batch = backend.allocateShared {
      TokenBatch(sequences: sequences, length: length, in: &$0)
    }
    let plan = ActivationPlan(
      configuration, sequences: sequences, length: length, purpose: purpose,
      type: backend.productType, vocabularyRows: deviceWeights.head.rows)
    let activations = backend.allocate { ModelActivations(plan, batch: batch, in: &$0) }
    let positions = backend.host.allocate { $0.tensor([rows], .int32) }
    for row in 0..<rows { positions.integers[row] = Int32(row % length) }
    backend.copy(positions, into: activations.positions)
    backend.synchronize()
    return activations
  }

  /// The loss of every target, in nats, into `losses` of `activations`, whose tokens and targets
  /// the caller has set.
  ///
  /// - Precondition: tokens are those of the vocabulary, and so are targets that are not negative.
  public func loss(_ activations: ModelActivations) {
    hidden(activations)
    losses(activations, gradientScale: 0) { _, _ in }
  }

  /// The logits `[n, V]` of every token, copied: for tests and exact comparisons.
  ///
  /// - Precondition: there are one or more tokens, of the vocabulary, at most as many as the context holds.
  public func logits(_ tokens: [Int32]) -> [Float] {
    let activations = makeActivations(
      sequences: 1, length: tokens.count, purpose: .evaluation)
    activations.tokens.assign(integers: tokens)
    hidden(activations)
    var result: [Float] = []
    forEachLogits(activations) { rows, logits in
      let elements = backend.host.converted(
        StoredMatrix(weights: backend.onHost(logits)), to: .float32
      ).weights.array
      for row in 0..<rows.count {
        result +=
          elements[row * logits.columns..<row * logits.columns + configuration.vocabularySize]
      }
    }
    return result
  }

  /// The final, normalized hidden state of every token.
  func hidden(_ activations: ModelActivations) {
    let a = activations
    a.batch.check(vocabulary: configuration.vocabularySize)
    let weights = deviceWeights
    let arrivals = takeArrivals()
    if let first = arrivals.first { backend.wait(for: first) }
    if a.resident.isCopy(of: a.batch) {
      backend.copy(a.batch.tokens, into: a.resident.tokens)
      backend.copy(a.batch.targets, into: a.resident.targets)
    }
    backend.embed(a.resident.tokens, table: weights.embedding, into: a.layers[0].input)
    for (index, layer) in weights.layers.enumerated() {
      let saved = a.layers[index]
      if index + 1 < arrivals.count { backend.wait(for: arrivals[index + 1]) }
      sharded?.read(index, next: index + 1)
      forward(layer, saved, activations: a)
      backend.multiply(
        saved.feedForward.output, layer.down.transposed, into: a.output(of: index),
        adding: saved.middle)
    }
    backend.rmsNorm(
      a.residual, weight: weights.norm, epsilon: configuration.normEpsilon, into: a.normed,
      inverseRMS: a.inverseRMS)
  }

  /// middle = x + attention(norm(x)), and the intermediate activation of norm(middle): all that a
  /// backward pass needs. The block's output is middle + down(that).
  func forward(
    _ layer: LayerWeights, _ a: LayerActivations, activations: ModelActivations
  ) {
    attention(layer, a.input, saving: a.attention, into: a.middle, activations)
    backend.rmsNorm(
      a.middle, weight: layer.postAttentionNorm, epsilon: configuration.normEpsilon,
      into: a.middleNormed, inverseRMS: a.middleInverseRMS)
    layer.unit.forward(
      a.middleNormed, saving: a.feedForward, scratch: activations.scratch, on: backend)
  }

  /// Computes the losses, where `gradientScale` is not 0 the gradients of the logits, and brings the
  /// losses to the host. `body` sees each chunk of logits after that.
  func losses(
    _ a: ModelActivations, gradientScale: Float, teacher: Teacher? = nil,
    _ body: (_ rows: Range<Int>, _ logits: Tensor) -> Void
  ) {
    forEachLogits(a) { rows, logits in
      let (targets, losses) = (a.resident.targets[rows], a.resident.losses[rows])
      if let teacher {
        backend.distill(
          logits, teacher: teacher.logits(rows), vocabulary: configuration.vocabularySize,
          targets: targets, losses: losses, gradientScale: gradientScale, teacher.distillation)
      } else {
        backend.crossEntropy(
          logits, vocabulary: configuration.vocabularySize, targets: targets, losses: losses,
          gradientScale: gradientScale)
      }
      body(rows, logits)
    }
    if a.resident.isCopy(of: a.batch) { backend.copy(a.resident.losses, into: a.batch.losses) }
  }

  /// Computes the logits chunk by chunk, so that never all of them are held.
  func forEachLogits(
    _ a: ModelActivations, _ body: (_ rows: Range<Int>, _ logits: Tensor) -> Void
  ) {
    for first in stride(from: 0, to: a.normed.rows, by: a.logits.rows) {
      let rows = first..<min(first + a.logits.rows, a.normed.rows)
      let logits = a.logits[0..<rows.count]
      backend.multiply(a.normed[rows], deviceWeights.head.transposed, into: logits)
      body(rows, logits)
    }
  }
}
