extension LanguageModel {
  /// One forward and backward pass: the losses into `activations.losses`, and `scale` times the
  /// gradient of their sum added to `gradients`, or in their place where they do not accumulate.
  ///
  /// Cost: three times the forward pass. Nothing is allocated.
  ///
  /// - Parameters:
  ///   - activations: The batch, and memory of the pass.
  ///   - gradients: Where the gradients go.
  ///   - scale: What the gradient of the sum of losses is multiplied by.
  ///   - teacher: Whose `Distillation` the losses are then those of.
  ///   - completed: Called with the index of each layer, last to first, once what computes the gradients
  ///     of its matrices and mask logits is enqueued.
  public func lossAndGradients(
    _ activations: ModelActivations, into gradients: Gradients, scale: Float,
    teacher: Teacher? = nil, completed: (_ layer: Int) -> Void = { _ in }
  ) {
    guard let d = activations.gradients else {
      preconditionFailure("activations laid out for evaluation were used for training")
    }
    let weights = deviceWeights
    if !gradients.accumulates {
      // Norms and biases always add to theirs, and so does the embedding, below a head of its own.
      backend.clear(gradients.floats(inBytes: weights.vectorBytes))
      if weights.stack.untiedHead != nil { backend.clear(gradients[weights.embedding]) }
    }
    hidden(activations)
    teacher?.read(activations.batch)
    // The head: its logits become their own gradient, chunk by chunk.
    losses(activations, gradientScale: scale, teacher: teacher) { rows, logits in
      backend.multiply(logits, weights.head, into: d.normed[rows])
      multiply(
        logits, activations.normed[rows], gradientOf: weights.head, gradients,
        isFirst: rows.lowerBound == 0)
    }
    backend.clear(d.residual)
    backend.rmsNormBackward(
      d.normed, x: activations.residual, weight: weights.norm, inverseRMS: activations.inverseRMS,
      xGradient: d.residual, weightGradient: gradients[weights.norm])
    for index in weights.layers.indices.reversed() {
      sharded?.read(index, next: index - 1)
      if activations.recomputes {
        forward(weights.layers[index], activations.layers[index], activations: activations)
      }
      backward(
        weights.layers[index], activations.layers[index], d, gradients, activations: activations)
      completed(index)
    }
    backend.embedBackward(
      d.residual, tokens: activations.resident.tokens, tableGradient: gradients[weights.embedding])
  }

  /// dW += dY^T X, or dW = dY^T X where it is the first part of gradients that do not accumulate.
  func multiply(
    _ upstream: Tensor, _ x: Tensor, gradientOf weight: Tensor, _ gradients: Gradients,
    isFirst: Bool = true
  ) {
    let gradient = gradients[weight]
    backend.multiply(
      upstream.transposed, x, into: gradient,
      adding: isFirst && !gradients.accumulates ? nil : gradient)
  }

  /// Carries the residual's gradient through one block, in place.
  private func backward(
    _ layer: LayerWeights, _ a: LayerActivations, _ d: ActivationGradients,
    _ gradients: Gradients, activations: ModelActivations
  ) {
    backend.multiply(d.residual, layer.down, into: d.feedForward)
    multiply(d.residual, a.feedForward.output, gradientOf: layer.down, gradients)
    layer.unit.backward(
      d.feedForward, x: a.middleNormed, saved: a.feedForward, xGradient: d.normed,
      gradients: gradients, scratch: activations.scratch, on: backend)
    backend.rmsNormBackward(
      d.normed, x: a.middle, weight: layer.postAttentionNorm, inverseRMS: a.middleInverseRMS,
      xGradient: d.residual, weightGradient: gradients[layer.postAttentionNorm])
    attentionBackward(layer, a.input, saved: a.attention, d, gradients, activations)
  }
}
