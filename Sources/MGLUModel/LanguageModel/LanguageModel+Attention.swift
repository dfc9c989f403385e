// The attention half of a block, as it is trained: middle = x + attention(inputNorm(x) qkv^T) output^T.

/// What it keeps from its forward for its backward pass.
struct AttentionActivations: Sendable {
  /// inputNorm(x) `[n, h]`, and the norm's statistics `[n]`.
  let normed: Tensor
  let inverseRMS: Tensor
  /// Rotated queries and keys, and values `[n, (heads + 2 kvHeads) headSize]`.
  let qkv: Tensor
  /// The result before the output projection `[n, heads headSize]`.
  let output: Tensor
  let logSumExp: Tensor

  init(_ plan: ActivationPlan, in layout: inout ArenaLayout) {
    let (c, rows, type) = (plan.configuration, plan.rows, plan.type)
    inverseRMS = layout.tensor([rows])
    normed = layout.tensor([rows, c.hiddenSize], type)
    qkv = layout.tensor([rows, c.attention.rowWidth], type)
    output = layout.tensor([rows, c.attention.queryWidth], type)
    logSumExp = layout.tensor([plan.sequences, c.attention.heads, plan.length])
  }
}

/// Gradients of these activations, one set for all layers.
struct AttentionGradients: Sendable {
  let qkv: Tensor
  let output: Tensor

  init(_ plan: ActivationPlan, in layout: inout ArenaLayout) {
    let (shape, rows, type) = (plan.configuration.attention, plan.rows, plan.type)
    qkv = layout.tensor([rows, shape.rowWidth], type)
    output = layout.tensor([rows, shape.queryWidth], type)
  }
}

extension LanguageModel {
  /// middle = x + attention(norm(x)).
  func attention(
    _ layer: LayerWeights, _ x: Tensor, saving a: AttentionActivations, into middle: Tensor,
    _ activations: ModelActivations
  ) {
    let shape = configuration.attention
    backend.rmsNorm(
      x, weight: layer.inputNorm, epsilon: configuration.normEpsilon, into: a.normed,
      inverseRMS: a.inverseRMS)
    backend.multiply(a.normed, layer.qkv.transposed, into: a.qkv)
    backend.rotate(
      a.qkv, shape: shape, positions: activations.positions, table: rotary, inverse: false)
    backend.attention(
      a.qkv, shape: shape, length: activations.length, into: a.output, logSumExp: a.logSumExp)
    backend.multiply(a.output, layer.output.transposed, into: middle, adding: x)
  }

  /// Carries the residual's gradient from middle to x, in place.
  func attentionBackward(
    _ layer: LayerWeights, _ x: Tensor, saved a: AttentionActivations, _ d: ActivationGradients,
    _ gradients: Gradients, _ activations: ModelActivations
  ) {
    let shape = configuration.attention
    backend.multiply(d.residual, layer.output, into: d.attention.output)
    multiply(d.residual, a.output, addingTo: gradients[layer.output])
    backend.attentionBackward(
      d.attention.output, qkv: a.qkv, output: a.output, logSumExp: a.logSumExp, shape: shape,
      length: activations.length, qkvGradient: d.attention.qkv)
    backend.rotate(
      d.attention.qkv, shape: shape, positions: activations.positions, table: rotary,
      inverse: true)
    backend.multiply(d.attention.qkv, layer.qkv, into: d.normed)
    multiply(d.attention.qkv, a.normed, addingTo: gradients[layer.qkv])
    backend.rmsNormBackward(
      d.normed, x: x, weight: layer.inputNorm, inverseRMS: a.inverseRMS, xGradient: d.residual,
      weightGradient: gradients[layer.inputNorm])
  }
}
