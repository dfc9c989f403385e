/// What cannot be decoded.
public enum GenerationProblem: Sendable {
  /// A token id outside the vocabulary.
  case tokenID
  /// More tokens than the session has room for.
  case contextLength
  /// A sampling setting out of its range.
  case sampling
  /// There is nothing to continue.
  case emptyPrompt
}

/// An error of generation.
public typealias GenerationError = Failure<GenerationProblem>

/// One text being read or written: the model's key-value cache and everything a step needs,
/// allocated once.
///
/// A session belongs to one thread at a time. Several sessions may share a decoder, but one
/// backend runs only one of them at any moment.
public final class DecodingSession {
  /// The model.
  public let decoder: Decoder
  /// The number of tokens the cache has room for.
  public let capacity: Int
  /// The number of tokens in the cache.
  public private(set) var position = 0

  private let rows: RowActivations
  private let caches: [KeyValueCache]
  private let wideWeights: [Tensor]

  /// Room for `capacity` tokens, by default and at most the model's context.
  public init(_ decoder: Decoder, capacity: Int? = nil) {
    let configuration = decoder.configuration
    let capacity = min(capacity ?? configuration.contextLength, configuration.contextLength)
    self.decoder = decoder
    self.capacity = capacity
    let backend = decoder.backend
    (_, rows) = backend.allocate {
      RowActivations(configuration, rows: min(capacity, 256), in: &$0)
    }
    (_, caches) = backend.allocate { layout in
      (0..<configuration.layers).map { _ in
        KeyValueCache(configuration.attention, capacity: capacity, in: &layout)
      }
    }
    wideWeights = decoder.weights.layers.map { layer in
      let (_, scratch) = backend.allocate {
        StackScratch(configuration.feedForward, forTraining: false, in: &$0)
      }
      return layer.unit.wideWeight(scratch: scratch, on: backend)
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
    var remaining = Array(tokens)[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(rows.capacity)
      remaining = remaining.dropFirst(chunk.count)
      read(Array(chunk))
    }
    decoder.backend.synchronize()
    return rows.logits
  }

  /// Runs rows through the model and leaves the last one's logits.
  private func read(_ tokens: [Int32]) {
    let (backend, weights) = (decoder.backend, decoder.weights)
    let (shape, epsilon) = (decoder.configuration.attention, decoder.configuration.normEpsilon)
    let a = rows.prefix(tokens.count)
    a.tokens.assign(integers: tokens)
    a.positions.assign(integers: (position..<position + tokens.count).map(Int32.init))
    backend.embed(a.tokens, table: weights.embedding, into: a.residual)
    for (index, layer) in weights.layers.enumerated() {
      backend.rmsNorm(
        a.residual, weight: layer.inputNorm, epsilon: epsilon, into: a.normed,
        inverseRMS: a.inverseRMS)
      backend.multiply(a.normed, layer.qkv.transposed, into: a.qkv)
      backend.rotate(
        a.qkv, shape: shape, positions: a.positions, table: decoder.rotary, inverse: false)
      backend.attentionCached(
        a.qkv, shape: shape, position: position, keys: caches[index].keys,
        values: caches[index].values, into: a.attention)
      backend.multiply(a.attention, layer.output.transposed, into: a.residual, accumulate: true)
      backend.rmsNorm(
        a.residual, weight: layer.postAttentionNorm, epsilon: epsilon, into: a.normed,
        inverseRMS: a.inverseRMS)
      layer.unit.forward(a.normed, wide: wideWeights[index], saving: a.feedForward, on: backend)
      backend.multiply(
        a.feedForward.output, layer.down.transposed, into: a.residual, accumulate: true)
    }
    position += tokens.count
    let last = tokens.count - 1..<tokens.count
    backend.rmsNorm(
      a.residual[last], weight: weights.norm, epsilon: epsilon, into: a.normed[last],
      inverseRMS: a.inverseRMS[last])
    backend.multiply(a.normed[last], weights.head.transposed, into: a.logits)
  }
}

/// Rotated keys and values of one layer, `[capacity, kvHeads headSize]` each.
struct KeyValueCache: Sendable {
  let keys: Tensor
  let values: Tensor

  init(_ shape: AttentionShape, capacity: Int, in layout: inout ArenaLayout) {
    keys = layout.tensor([capacity, shape.kvWidth])
    values = layout.tensor([capacity, shape.kvWidth])
  }
}

/// The activations of the rows at work, shared by all layers.
private struct RowActivations {
  let capacity: Int
  let tokens: Tensor
  let positions: Tensor
  let residual: Tensor
  let normed: Tensor
  let inverseRMS: Tensor
  let qkv: Tensor
  let attention: Tensor
  let feedForward: FeedForwardActivations
  let logits: Tensor

  init(_ c: DecoderConfiguration, rows: Int, in layout: inout ArenaLayout) {
    capacity = rows
    tokens = layout.tensor([rows], .int32)
    positions = layout.tensor([rows], .int32)
    residual = layout.tensor([rows, c.hiddenSize])
    normed = layout.tensor([rows, c.hiddenSize])
    inverseRMS = layout.tensor([rows])
    qkv = layout.tensor([rows, c.attention.rowWidth])
    attention = layout.tensor([rows, c.attention.queryWidth])
    feedForward = FeedForwardActivations(c.feedForward, rows: rows, in: &layout)
    logits = layout.tensor([1, c.vocabularySize])
  }

  /// The same memory for fewer rows.
  func prefix(_ count: Int) -> RowActivations {
    RowActivations(first: count, of: self)
  }

  private init(first count: Int, of all: RowActivations) {
    let rows = 0..<count
    capacity = count
    tokens = all.tokens[rows]
    positions = all.positions[rows]
    residual = all.residual[rows]
    normed = all.normed[rows]
    inverseRMS = all.inverseRMS[rows]
    qkv = all.qkv[rows]
    attention = all.attention[rows]
    feedForward = all.feedForward.prefix(count)
    logits = all.logits
  }
}
