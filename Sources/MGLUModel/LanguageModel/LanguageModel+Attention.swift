// The attention half of a block, as it is trained:
// middle = x + attention(inputNorm(x) qkv^T + qkvBias) output^T + outputBias.

/// What it keeps from its forward for its backward pass.
struct AttentionActivations: Sendable {
  /// inputNorm(x) `[n, h]`, and the norm's statistics `[n]`.
  let normed: Tensor
  let inverseRMS: Tensor
  /// Queries, keys and values as they are projected `[n, (heads + 2 kvHeads) headSize]`: the same
  /// memory as ``qkv``, unless heads have a norm.
  let projected: Tensor
  /// The statistics of the heads' norms `[n, heads]` and `[n, kvHeads]`.
  let queryInverseRMS: Tensor?
  let keyInverseRMS: Tensor?
  /// Rotated queries and keys, and values.
  let qkv: Tensor
  /// The result before the output projection `[n, heads headSize]`.
  let output: Tensor
  let logSumExp: Tensor

  init(_ plan: ActivationPlan, in layout: inout ArenaLayout) {
    let (c, rows, type) = (plan.configuration, plan.rows, plan.type)
    inverseRMS = layout.tensor([rows])
    normed = layout.tensor([rows, c.hiddenSize], type)
    qkv = layout.tensor([rows, c.attention.rowWidth], type)
    projected = c.hasQKNorm ? layout.tensor(qkv.shape, type) : qkv
    queryInverseRMS = c.hasQKNorm ? layout.tensor([rows, c.attention.heads]) : nil
    keyInverseRMS = c.hasQKNorm ? layout.tensor([rows, c.attention.kvHeads]) : nil
    output = layout.tensor([rows, c.attention.queryWidth], type)
    logSumExp = layout.tensor([plan.sequences, c.attention.heads, plan.length])
  }
}

/// Gradients of these activations, one set for all layers.
struct AttentionGradients: Sendable {
  let projected: Tensor
  let qkv: Tensor
  let output: Tensor

  init(_ plan: ActivationPlan, in layout: inout ArenaLayout) {
    let (shape, rows, type) = (plan.configuration.attention, plan.rows, plan.type)
    qkv = layout.tensor([rows, shape.rowWidth], type)
    projected = plan.configuration.hasQKNorm ? layout.tensor(qkv.shape, type) : qkv
    output = layout.tensor([rows, shape.queryWidth], type)
  }
}

extension LanguageModel {
  /// middle = x + attention(norm(x)).
  func attention(
    _ layer: LayerWeights, _ x: Tensor, saving a: AttentionActivations, into middle: Tensor,
    _ activations: ModelActivations
  ) {
    let shape = layer.attention
    backend.rmsNorm(
      x, weight: layer.inputNorm, epsilon: configuration.normEpsilon, into: a.normed,
      inverseRMS: a.inverseRMS)
    backend.multiply(a.normed, layer.qkv.transposed, into: a.projected)
    if let bias = layer.qkvBias { backend.addBias(bias, to: a.projected) }
    normalizeHeads(layer, a)
    backend.rotate(
      a.qkv, shape: shape, positions: activations.positions,
      table: rotary.table(context: activations.length), inverse: false)
    backend.attention(
      a.qkv, shape: shape, length: activations.length, into: a.output, logSumExp: a.logSumExp)
    backend.multiply(a.output, layer.output.transposed, into: middle, adding: x)
    if let bias = layer.outputBias { backend.addBias(bias, to: middle) }
  }

  /// Carries the residual's gradient from middle to x, in place.
  func attentionBackward(
    _ layer: LayerWeights, _ x: Tensor, saved a: AttentionActivations, _ d: ActivationGradients,
    _ gradients: Gradients, _ activations: ModelActivations
  ) {
    let shape = layer.attention
    if let bias = layer.outputBias {
      backend.addBiasBackward(d.residual, biasGradient: gradients[bias])
    }
    backend.multiply(d.residual, layer.output, into: d.attention.output)
    multiply(d.residual, a.output, gradientOf: layer.output, gradients)
    backend.attentionBackward(
      d.attention.output, qkv: a.qkv, output: a.output, logSumExp: a.logSumExp, shape: shape,
      length: activations.length, qkvGradient: d.attention.qkv)
    backend.rotate(
      d.attention.qkv, shape: shape, positions: activations.positions,
      table: rotary.table(context: activations.length), inverse: true)
    normalizeHeadsBackward(layer, a, d.attention, gradients)
    if let bias = layer.qkvBias {
      backend.addBiasBackward(d.attention.projected, biasGradient: gradients[bias])
    }
    backend.multiply(d.attention.projected, layer.qkv, into: d.normed)
    multiply(d.attention.projected, a.normed, gradientOf: layer.qkv, gradients)
    backend.rmsNormBackward(
      d.normed, x: x, weight: layer.inputNorm, inverseRMS: a.inverseRMS, xGradient: d.residual,
      weightGradient: gradients[layer.inputNorm])
  }

  /// The norms of query and key heads, where the model has them (QK-norm).
  private func headNorms(
    _ layer: LayerWeights, _ a: AttentionActivations
  ) -> [(weight: Tensor, parts: RowParts, inverseRMS: Tensor)] {
    let shape = layer.attention
    return [
      (layer.queryNorm, shape.queryHeads, a.queryInverseRMS),
      (layer.keyNorm, shape.keyHeads, a.keyInverseRMS),
    ].compactMap { weight, parts, inverseRMS in
      guard let weight, let inverseRMS else { return nil }
      return (weight, parts, inverseRMS)
    }
  }

  /// qkv = the projected one with every query and key head normalized.
  private func normalizeHeads(_ layer: LayerWeights, _ a: AttentionActivations) {
    guard configuration.hasQKNorm else { return }
    backend.copy(a.projected, into: a.qkv)
    for norm in headNorms(layer, a) {
      backend.rmsNorm(
        a.projected, parts: norm.parts, weight: norm.weight, epsilon: configuration.normEpsilon,
        into: a.qkv, inverseRMS: norm.inverseRMS)
    }
  }

  private func normalizeHeadsBackward(
    _ layer: LayerWeights, _ a: AttentionActivations, _ d: AttentionGradients,
    _ gradients: Gradients
  ) {
    guard configuration.hasQKNorm else { return }
    backend.copy(d.qkv, into: d.projected)
    for norm in headNorms(layer, a) {
      backend.rmsNormBackward(
        d.qkv, x: a.projected, parts: norm.parts, weight: norm.weight,
        inverseRMS: norm.inverseRMS, accumulates: false, xGradient: d.projected,
        weightGradient: gradients[norm.weight])
    }
  }
}
