/// Rotated keys and values of one layer, `[kvHeads, capacity, headSize]` each.
struct KeyValueCache: Sendable {
  let keys: Tensor
  let values: Tensor

  init(_ shape: AttentionShape, capacity: Int, in layout: inout ArenaLayout) {
    keys = layout.tensor([shape.kvHeads, capacity, shape.headSize])
    values = layout.tensor([shape.kvHeads, capacity, shape.headSize])
  }
}

/// The activations of the rows at work, shared by all layers.
struct RowActivations {
  var tokens: Tensor
  var positions: Tensor
  var residual: Tensor
  var qkv: Tensor
  var attention: Tensor
  var feedForward: InferenceActivations
  let logits: Tensor

  var capacity: Int { tokens.count }

  init(_ c: DecoderConfiguration, rows: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    residual = layout.tensor([rows, c.hiddenSize])
    qkv = layout.tensor([rows, c.attention.rowWidth])
    attention = layout.tensor([rows, c.attention.queryWidth])
    feedForward = InferenceActivations(c.feedForward, rows: rows, in: &layout)
    logits = layout.tensor([1, c.vocabularySize])
  }

  /// The same memory for some of the rows.
  subscript(range: Range<Int>) -> RowActivations {
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

extension InferenceDecoder {
  /// Runs the entered rows `a` through every block, into their residuals. Projections and units see
  /// all rows at once; attention sees a text's rows and its cache.
  func enqueue(_ a: RowActivations, texts: [(rows: RowActivations, caches: [KeyValueCache])]) {
    backend.embed(a.tokens, table: embedding, into: a.residual)
    for (index, layer) in layers.enumerated() {
      backend.flash(
        layer.qkv, a.residual, norm: layer.inputNorm, precision: precision, into: a.qkv)
      for text in texts {
        let (rows, cache) = (text.rows, text.caches[index])
        backend.attentionCached(
          rows.qkv, shape: configuration.attention, positions: rows.positions, table: rotary,
          keys: cache.keys, values: cache.values, into: rows.attention)
      }
      backend.flash(
        layer.output, a.attention, precision: precision, accumulate: true, into: a.residual)
      layer.unit.forward(
        a.residual, norm: layer.postAttentionNorm, precision: precision, into: a.feedForward,
        on: backend)
      backend.flash(
        layer.down, a.feedForward.output, precision: precision, accumulate: true,
        into: a.residual)
    }
  }
}
