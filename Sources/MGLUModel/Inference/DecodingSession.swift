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
  private let exchange: Exchange
  /// The next token's whole step: logits for the host, or a choice made where they are.
  private var logitsStep: (() -> Void)?
  private var choiceStep: (() -> Void)?

  /// Room for `capacity` tokens, by default and at most the model's context.
  public init(_ decoder: InferenceDecoder, capacity: Int? = nil) {
    let configuration = decoder.configuration
    let capacity = min(capacity ?? configuration.contextLength, configuration.contextLength)
    self.decoder = decoder
    self.capacity = capacity
    let backend = decoder.backend
    let count = max(1, min(capacity, 256))
    (_, rows) = backend.allocate { RowActivations(configuration, rows: count, in: &$0) }
    single = rows[0..<1]
    caches = decoder.makeCaches(capacity: capacity)
    (_, exchange) = backend.allocateShared { Exchange(configuration, rows: count, in: &$0) }
  }

  /// Forgets everything.
  public func reset() { position = 0 }

  /// Reads `tokens` and returns the logits `[1, V]` of what follows the last of them, valid until
  /// the next call.
  public func append(_ tokens: some Collection<Int32>) throws(GenerationError) -> Tensor {
    try read(tokens, choosing: false)
    return exchange.logits
  }

  /// Reads `tokens` and returns the token that `choice` makes of what follows the last of them; the
  /// logits stay where they were computed.
  public func append(
    _ tokens: some Collection<Int32>, choosing choice: TokenChoice
  ) throws(GenerationError) -> Int32 {
    exchange.choice.assign(choice.elements)
    try read(tokens, choosing: true)
    let token = exchange.token.integers[0]
    guard token >= 0 else { throw .notFinite }
    return token
  }

  private func read(
    _ tokens: some Collection<Int32>, choosing: Bool
  ) throws(GenerationError) {
    try decoder.check(tokens, at: position, capacity: capacity)
    var remaining = tokens[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(rows.capacity)
      remaining = remaining.dropFirst(chunk.count)
      exchange.entered.enter(chunk, at: position)
      position += chunk.count
      if chunk.count == 1 {
        step(choosing: choosing)()
      } else {
        enqueue(rows[0..<chunk.count], count: chunk.count, choosing: choosing)
      }
      // What is shared is written again for the next chunk.
      try decoder.finish()
    }
  }

  private func step(choosing: Bool) -> () -> Void {
    if let made = choosing ? choiceStep : logitsStep { return made }
    let made = decoder.backend.recording { [unowned self, single] in
      enqueue(single, count: 1, choosing: choosing)
    }
    if choosing { choiceStep = made } else { logitsStep = made }
    return made
  }

  /// Runs the entered rows through the model, and leaves the last one's logits or the choice.
  private func enqueue(_ a: RowActivations, count: Int, choosing: Bool) {
    let (backend, precision) = (decoder.backend, decoder.precision)
    decoder.enqueue(exchange.entered, into: a, texts: [(a, caches)])
    let last = count == 1 ? single.residual : rows.residual[count - 1..<count]
    let logits = choosing ? a.logits : exchange.logits
    backend.flash(decoder.head, last, norm: decoder.norm, precision: precision, into: logits)
    if choosing { backend.choose(logits, by: exchange.choice, into: exchange.token) }
  }
}

/// What passes between this machine and the one that computes.
private struct Exchange {
  let entered: EnteredRows
  let logits: Tensor
  let choice: Tensor
  let token: Tensor

  init(_ c: DecoderConfiguration, rows: Int, in layout: inout ArenaLayout) {
    entered = EnteredRows(rows, in: &layout)
    logits = layout.tensor([1, c.vocabularySize])
    choice = layout.tensor([TokenChoice.elementCount])
    token = layout.tensor([1], .int32)
  }
}
