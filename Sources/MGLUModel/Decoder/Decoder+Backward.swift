extension Decoder {
  /// One forward and backward pass: the losses into `activations.losses`, and `scale` times the
  /// gradient of their sum added to `gradients`.
  ///
  /// Cost: three times the forward pass. Nothing is allocated.
  public func lossAndGradients(
    _ activations: DecoderActivations, into gradients: Gradients, scale: Float
  ) {
    guard let d = activations.gradients else {
      preconditionFailure("activations laid out for inference were used for training")
    }
    hidden(activations)
    // The head: its logits become their own gradient, chunk by chunk.
    forEachLogits(activations) { rows, logits in
      backend.crossEntropy(
        logits, targets: activations.targets[rows], losses: activations.losses[rows],
        gradientScale: scale)
      backend.multiply(logits, weights.head, into: d.normed[rows])
      backend.multiply(
        logits.transposed, activations.normed[rows], into: gradients[weights.head],
        accumulate: true)
    }
    backend.clear(d.residual)
    backend.rmsNormBackward(
      d.normed, x: activations.residual, weight: weights.norm, inverseRMS: activations.inverseRMS,
      xGradient: d.residual, weightGradient: gradients[weights.norm])
    for index in weights.layers.indices.reversed() {
      backward(
        weights.layers[index], activations.layers[index], d, gradients, activations: activations)
    }
    backend.embedBackward(
      d.residual, tokens: activations.tokens, tableGradient: gradients[weights.embedding])
  }

  /// Carries the residual's gradient through one block, in place.
  private func backward(
    _ layer: DecoderLayerWeights, _ a: LayerActivations, _ d: ActivationGradients,
    _ gradients: Gradients, activations: DecoderActivations
  ) {
    backend.multiply(d.residual, layer.down, into: d.feedForward)
    backend.multiply(
      d.residual.transposed, a.feedForward.output, into: gradients[layer.down], accumulate: true)
    layer.unit.backward(
      d.feedForward, x: a.middleNormed, saved: a.feedForward, xGradient: d.normed,
      gradients: gradients, scratch: activations.scratch, on: backend)
    backend.rmsNormBackward(
      d.normed, x: a.middle, weight: layer.postAttentionNorm, inverseRMS: a.middleInverseRMS,
      xGradient: d.residual, weightGradient: gradients[layer.postAttentionNorm])

    backend.multiply(d.residual, layer.output, into: d.attention)
    backend.multiply(
      d.residual.transposed, a.attention, into: gradients[layer.output], accumulate: true)
    backend.attentionBackward(
      d.attention, qkv: a.qkv, output: a.attention, logSumExp: a.logSumExp,
      shape: configuration.attention, length: activations.length, qkvGradient: d.qkv)
    backend.rotate(
      d.qkv, shape: configuration.attention, positions: activations.positions, table: rotary,
      inverse: true)
    backend.multiply(d.qkv, layer.qkv, into: d.normed)
    backend.multiply(d.qkv.transposed, a.inputNormed, into: gradients[layer.qkv], accumulate: true)
    backend.rmsNormBackward(
      d.normed, x: a.input, weight: layer.inputNorm, inverseRMS: a.inputInverseRMS,
      xGradient: d.residual, weightGradient: gradients[layer.inputNorm])
  }
}
