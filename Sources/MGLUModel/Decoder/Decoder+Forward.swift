extension Decoder {
  /// Memory for passes over `sequences` texts of `length` tokens.
  public func makeActivations(
    sequences: Int, length: Int, forTraining: Bool
  ) -> (arena: Arena, DecoderActivations) {
    let (arena, activations) = backend.allocate { layout in
      DecoderActivations(
        configuration, sequences: sequences, length: length, forTraining: forTraining, in: &layout)
    }
    activations.fillPositions()
    return (arena, activations)
  }

  /// The loss of every target, in nats, into `losses` of `activations`, whose tokens and targets
  /// the caller has set.
  public func loss(_ activations: DecoderActivations) {
    hidden(activations)
    forEachLogits(activations) { rows, logits in
      backend.crossEntropy(
        logits, targets: activations.targets[rows], losses: activations.losses[rows],
        gradientScale: 0)
    }
  }

  /// The logits `[n, V]` of every token, copied: for tests and exact comparisons.
  public func logits(_ tokens: [Int32]) -> [Float] {
    let (_, activations) = makeActivations(
      sequences: 1, length: tokens.count, forTraining: false)
    activations.tokens.assign(integers: tokens)
    hidden(activations)
    var result: [Float] = []
    forEachLogits(activations) { _, logits in
      backend.synchronize()
      result += logits.array
    }
    return result
  }

  /// The final, normalised hidden state of every token.
  func hidden(_ activations: DecoderActivations) {
    let a = activations
    backend.embed(a.tokens, table: weights.embedding, into: a.layers[0].input)
    for (index, layer) in weights.layers.enumerated() {
      forward(layer, a.layers[index], into: a.output(of: index), activations: a)
    }
    backend.rmsNorm(
      a.residual, weight: weights.norm, epsilon: configuration.normEpsilon, into: a.normed,
      inverseRMS: a.inverseRMS)
  }

  /// y = x + attention(norm(x)); output = y + down(unit(norm(y))).
  private func forward(
    _ layer: DecoderLayerWeights, _ a: LayerActivations, into output: Tensor,
    activations: DecoderActivations
  ) {
    let shape = configuration.attention
    backend.rmsNorm(
      a.input, weight: layer.inputNorm, epsilon: configuration.normEpsilon, into: a.inputNormed,
      inverseRMS: a.inputInverseRMS)
    backend.multiply(a.inputNormed, layer.qkv.transposed, into: a.qkv)
    backend.rotate(
      a.qkv, shape: shape, positions: activations.positions, table: rotary, inverse: false)
    backend.attention(
      a.qkv, shape: shape, length: activations.length, into: a.attention, logSumExp: a.logSumExp)
    backend.copy(a.input, into: a.middle)
    backend.multiply(a.attention, layer.output.transposed, into: a.middle, accumulate: true)

    backend.rmsNorm(
      a.middle, weight: layer.postAttentionNorm, epsilon: configuration.normEpsilon,
      into: a.middleNormed, inverseRMS: a.middleInverseRMS)
    layer.unit.forward(
      a.middleNormed, saving: a.feedForward, scratch: activations.scratch, on: backend)
    backend.copy(a.middle, into: output)
    backend.multiply(a.feedForward.output, layer.down.transposed, into: output, accumulate: true)
  }

  /// Computes the logits chunk by chunk, so that never all of them are held.
  func forEachLogits(
    _ a: DecoderActivations, _ body: (_ rows: Range<Int>, _ logits: Tensor) -> Void
  ) {
    for first in stride(from: 0, to: a.normed.rows, by: a.logits.rows) {
      let rows = first..<min(first + a.logits.rows, a.normed.rows)
      let logits = a.logits[0..<rows.count]
      backend.multiply(a.normed[rows], weights.head.transposed, into: logits)
      body(rows, logits)
    }
  }
}
