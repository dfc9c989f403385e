/// The activations of the rows of a step, shared by all layers.
struct DecodeBuffers {
  var residual: Tensor
  var qkv: Tensor
  var attention: Tensor
  var feedForward: InferenceActivations
  /// What each rank adds to the residuals, one below the other, where ranks share the model.
  var partials: Tensor?

  /// The activations of `rows` rows of a model.
  init(_ model: InferenceModel, rows: Int, in layout: inout ArenaLayout) {
    let (c, type) = (model.configuration, model.activationType)
    residual = layout.tensor([rows, c.hiddenSize])
    qkv = layout.tensor([rows, c.attention.rowWidth], model.qkvType)
    attention = layout.tensor([rows, c.attention.queryWidth], type)
    feedForward = InferenceActivations(c.feedForward, rows: rows, type: type, in: &layout)
    partials = model.communicator.map { layout.tensor([$0.group.size * rows, c.hiddenSize]) }
  }

  /// How many rows there are.
  var count: Int { residual.rows }

  /// The same memory for some of the rows.
  subscript(range: Range<Int>) -> DecodeBuffers {
    var result = self
    result.residual = residual[range]
    result.qkv = qkv[range]
    result.attention = attention[range]
    result.feedForward = feedForward[range]
    // Whatever the rows, those of all ranks lie together.
    result.partials = partials.map { $0[0..<$0.rows / count * range.count] }
    return result
  }
}

/// Where the tokens of a step are sampled to: the settings of each row, and the token.
///
/// A session has several that take turns (``InferenceSession/turns``): the tokens of a step are read by the
/// host, and on the device by the step after it.
struct SampledTokens {
  let steps: Tensor
  let tokens: Tensor

  init(rows: Int, in layout: inout ArenaLayout) {
    steps = layout.tensor([rows, SamplingStep.elementCount])
    tokens = layout.tensor([rows], .int32)
  }

  /// Makes a row ready to be sampled under `step`.
  func prepare(_ row: Int, _ step: SamplingStep) {
    steps[row..<row + 1].assign(step.elements)
    tokens.integers[row] = SamplingStep.pending
  }
}
