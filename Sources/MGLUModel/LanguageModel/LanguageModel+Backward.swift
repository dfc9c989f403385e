extension LanguageModel {
  /// One forward and backward pass: the losses into `activations.losses`, and `scale` times the
  /// gradient of their sum added to `gradients`. With a `teacher` the losses are those of its
  /// `Distillation`.
  ///
  /// Cost: three times the forward pass. Nothing is allocated.
  public func lossAndGradients(
    _ activations: ModelActivations, into gradients: Gradients, scale: Float,
    teacher: Teacher? = nil
  ) {
    guard let d = activations.gradients else {
      preconditionFailure("activations laid out for evaluation were used for training")
    }
    let weights = deviceWeights
    hidden(activations)
    teacher?.read(activations.batch)
    // The head: its logits become their own gradient, chunk by chunk.
    losses(activations, gradientScale: scale, teacher: teacher) { rows, logits in
      backend.multiply(logits, weights.head, into: d.normed[rows])
      multiply(logits, activations.normed[rows], addingTo: gradients[weights.head])
    }
    backend.clear(d.residual)
    backend.rmsNormBackward(
      d.normed, x: activations.residual, weight: weights.norm, inverseRMS: activations.inverseRMS,
      xGradient: d.residual, weightGradient: gradients[weights.norm])
    for index in weights.layers.indices.reversed() {
      if activations.recomputes {
        forward(weights.layers[index], activations.layers[index], activations: activations)
      }
      backward(
        weights.layers[index], activations.layers[index], d, gradients, activations: activations)
    }
    backend.embedBackward(
      d.residual, tokens: activations.resident.tokens, tableGradient: gradients[weights.embedding])
  }

  /// dW += dY^T X.
  func multiply(_ upstream: Tensor, _ x: Tensor, addingTo gradient: Tensor) {
    backend.multiply(upstream.transposed, x, into: gradient, adding: gradient)
  }

  /// Carries the residual's gradient through one block, in place.
  private func backward(
    _ layer: LayerWeights, _ a: LayerActivations, _ d: ActivationGradients,
    _ gradients: Gradients, activations: ModelActivations
  ) {
    backend.multiply(d.residual, layer.down, into: d.feedForward)
    multiply(d.residual, a.feedForward.output, addingTo: gradients[layer.down])
    layer.unit.backward(
      d.feedForward, x: a.middleNormed, saved: a.feedForward, xGradient: d.normed,
      gradients: gradients, scratch: activations.scratch, on: backend)
    backend.rmsNormBackward(
      d.normed, x: a.middle, weight: layer.postAttentionNorm, inverseRMS: a.middleInverseRMS,
      xGradient: d.residual, weightGradient: gradients[layer.postAttentionNorm])
    attentionBackward(layer, a.input, saved: a.attention, d, gradients, activations)
  }
}
