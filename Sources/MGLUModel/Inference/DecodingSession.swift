/// One text being read or written: the model's key-value cache and everything a step needs,
/// allocated once.
///
/// A session belongs to one thread at a time. Several sessions may share a decoder, but one
/// backend runs only one of them at any moment.
public final class DecodingSession {
  /// The model.
  public let decoder: InferenceDecoder
  /// The number of tokens the cache has room for.
  public let capacity: Int
  /// The number of tokens in the cache.
  public private(set) var position = 0

  private let rows: RowActivations
  /// Views of one row, made once: making them for each token would allocate.
  private let single: RowActivations
  private let caches: [KeyValueCache]

  /// Room for `capacity` tokens, by default and at most the model's context.
  public init(_ decoder: InferenceDecoder, capacity: Int? = nil) {
    let configuration = decoder.configuration
    let capacity = min(capacity ?? configuration.contextLength, configuration.contextLength)
    self.decoder = decoder
    self.capacity = capacity
    let backend = decoder.backend
    (_, rows) = backend.allocate {
      RowActivations(configuration, rows: max(1, min(capacity, 256)), in: &$0)
    }
    single = rows[0..<1]
    (_, caches) = backend.allocate { layout in
      (0..<configuration.layers).map { _ in
        KeyValueCache(configuration.attention, capacity: capacity, in: &layout)
      }
    }
  }

  /// Forgets everything.
  public func reset() { position = 0 }

  /// Reads `tokens` and returns the logits `[V]` of what follows the last of them, valid until the
  /// next call.
  public func append(_ tokens: some Collection<Int32>) throws(GenerationError) -> Tensor {
    guard !tokens.isEmpty else {
      throw GenerationError(.emptyPrompt, "no tokens to continue from: expected at least one")
    }
    guard position + tokens.count <= capacity else {
      throw GenerationError(
        .contextLength,
        "\(position + tokens.count) tokens do not fit a context of \(capacity)",
        remedy: "shorten the prompt")
    }
    let vocabulary = decoder.configuration.vocabularySize
    if let bad = tokens.first(where: { $0 < 0 || Int($0) >= vocabulary }) {
      throw GenerationError(
        .tokenID, "token id \(bad): expected 0 to \(vocabulary - 1)",
        remedy: "use the tokenizer that the model was trained with")
    }
    var remaining = tokens[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(rows.capacity)
      remaining = remaining.dropFirst(chunk.count)
      read(chunk)
    }
    decoder.backend.synchronize()
    return rows.logits
  }

  /// Runs rows through the model and leaves the last one's logits.
  private func read(_ tokens: some Collection<Int32>) {
    let (backend, precision) = (decoder.backend, decoder.precision)
    let (shape, epsilon) = (decoder.configuration.attention, decoder.configuration.normEpsilon)
    let count = tokens.count
    let a = count == 1 ? single : rows[0..<count]
    a.tokens.assign(integers: tokens)
    a.positions.assign(integers: Int32(position)..<Int32(position + count))
    backend.embed(a.tokens, table: decoder.embedding, into: a.residual)
    for (layer, cache) in zip(decoder.layers, caches) {
      backend.rmsNorm(
        a.residual, weight: layer.inputNorm, epsilon: epsilon, into: a.normed,
        inverseRMS: a.inverseRMS)
      backend.flash(layer.qkv, a.normed, precision: precision, into: a.qkv)
      backend.rotate(
        a.qkv, shape: shape, positions: a.positions, table: decoder.rotary, inverse: false)
      backend.attentionCached(
        a.qkv, shape: shape, position: position, keys: cache.keys, values: cache.values,
        into: a.attention)
      backend.flash(
        layer.output, a.attention, precision: precision, accumulate: true, into: a.residual)
      backend.rmsNorm(
        a.residual, weight: layer.postAttentionNorm, epsilon: epsilon, into: a.normed,
        inverseRMS: a.inverseRMS)
      layer.unit.forward(a.normed, precision: precision, into: a.feedForward, on: backend)
      backend.flash(
        layer.down, a.feedForward.output, precision: precision, accumulate: true,
        into: a.residual)
    }
    position += count
    let last = count == 1 ? single : rows[count - 1..<count]
    backend.rmsNorm(
      last.residual, weight: decoder.norm, epsilon: epsilon, into: last.normed,
      inverseRMS: last.inverseRMS)
    backend.flash(decoder.head, last.normed, precision: precision, into: last.logits)
  }
}

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
private struct RowActivations {
  var tokens: Tensor
  var positions: Tensor
  var residual: Tensor
  var normed: Tensor
  var inverseRMS: Tensor
  var qkv: Tensor
  var attention: Tensor
  var feedForward: InferenceActivations
  let logits: Tensor

  var capacity: Int { tokens.count }

  init(_ c: DecoderConfiguration, rows: Int, in layout: inout ArenaLayout) {
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    residual = layout.tensor([rows, c.hiddenSize])
    normed = layout.tensor([rows, c.hiddenSize])
    inverseRMS = layout.tensor([rows])
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
    result.normed = normed[range]
    result.inverseRMS = inverseRMS[range]
    result.qkv = qkv[range]
    result.attention = attention[range]
    result.feedForward = feedForward[range]
    return result
  }
}
