/// Tokens and their positions on their way to the model, in memory that the host writes.
struct InputBatch {
  let tokens: Tensor
  let positions: Tensor

  init(rows: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
  }

  /// Writes `tokens`, the first of which has the position `position`, from a row on.
  func enter(_ tokens: some Collection<Int32>, at position: Int, firstRow: Int) {
    for (index, token) in tokens.enumerated() {
      self.tokens.integers[firstRow + index] = token
      positions.integers[firstRow + index] = Int32(position + index)
    }
  }
}

/// The activations of the rows of a step, shared by all layers.
struct DecodeBuffers {
  var tokens: Tensor
  var positions: Tensor
  var residual: Tensor
  var qkv: Tensor
  var attention: Tensor
  var feedForward: InferenceActivations

  init(_ c: ModelConfiguration, rows: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    residual = layout.tensor([rows, c.hiddenSize])
    qkv = layout.tensor([rows, c.attention.rowWidth])
    attention = layout.tensor([rows, c.attention.queryWidth])
    feedForward = InferenceActivations(c.feedForward, rows: rows, in: &layout)
  }

  /// The same memory for some of the rows.
  subscript(range: Range<Int>) -> DecodeBuffers {
    var result = self
    result.tokens = tokens[range]
    result.positions = positions[range]
    result.residual = residual[range]
    result.qkv = qkv[range]
    result.attention = attention[range]
    result.feedForward = feedForward[range]
    return result
  }
}

/// Where the tokens of a step are sampled to: the settings of each row, and the token.
///
/// A session has two that take turns, because a step may be under way while the host reads the
/// tokens of the one before.
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
