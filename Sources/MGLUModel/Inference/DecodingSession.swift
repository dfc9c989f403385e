/// One text being read or written: the model's key-value cache and everything a step needs,
/// allocated once.
///
/// A session belongs to one thread at a time. Several sessions may share a model, but one
/// backend runs only one of them at any moment.
public final class DecodingSession {
  /// The model.
  public let model: InferenceModel
  /// The number of tokens the cache has room for.
  public let capacity: Int
  /// The number of tokens in the cache.
  public private(set) var position = 0

  private let rows: DecodeBuffers
  /// Views of one row, made once: making them for each token would allocate.
  private let single: DecodeBuffers
  private let caches: [KeyValueCache]
  private let exchange: Exchange
  /// Steps of one row, recorded when they are first wanted.
  private var steps: [Step: () -> Void] = [:]
  /// Whether a step is begun before the token that it reads is returned.
  package var isPipelined: Bool
  /// The step that reads the token of the other slot, which was returned last.
  private var ahead: (choice: SamplingStep, slot: Int)?

  /// What a step reads and leaves. Slots take turns.
  private enum Step: Hashable {
    /// Entered tokens; nothing but their keys and values, as more tokens come.
    case part
    /// Entered tokens; logits for this machine.
    case logits
    /// Entered tokens; a choice in the first slot.
    case choice
    /// The chosen token where the device has it; a choice in a slot.
    case following(slot: Int)
  }

  /// Room for `capacity` tokens, by default and at most the model's context.
  public init(_ model: InferenceModel, capacity: Int? = nil) {
    let configuration = model.configuration
    let capacity = min(capacity ?? configuration.contextLength, configuration.contextLength)
    self.model = model
    self.capacity = capacity
    let backend = model.backend
    isPipelined = backend.isAsynchronous
    let count = max(1, min(capacity, 256))
    (_, rows) = backend.allocate { DecodeBuffers(configuration, rows: count, in: &$0) }
    single = rows[0..<1]
    caches = model.makeCaches(capacity: capacity)
    (_, exchange) = backend.allocateShared { Exchange(configuration, rows: count, in: &$0) }
  }

  deinit { abandonAhead() }

  /// Forgets everything.
  public func reset() {
    abandonAhead()
    position = 0
  }

  /// Reads `tokens` and returns the logits `[1, V]` of what follows the last of them, valid until
  /// the next call.
  public func append(_ tokens: some Collection<Int32>) throws(GenerationError) -> Tensor {
    abandonAhead()
    try read(tokens, as: .logits)
    try model.finish()
    return exchange.logits
  }

  /// Reads `tokens` and returns the token that `choice` makes of what follows the last of them; the
  /// logits stay where they were computed.
  ///
  /// With the choice that comes after it, a device that computes on its own reads the returned token
  /// at once: what is then appended, if it is that token with that choice, has been under way since.
  /// Anything else may be appended as well.
  public func append(
    _ tokens: some Collection<Int32>, choosing choice: SamplingStep, then next: SamplingStep? = nil
  ) throws(GenerationError) -> Int32 {
    var slot = 0
    if let ahead, ahead.choice == choice, tokens.count == 1,
      tokens.first == exchange.slots[1 - ahead.slot].token.integers[0]
    {
      slot = ahead.slot
      self.ahead = nil
      position += 1
    } else {
      abandonAhead()
      exchange.slots[slot].begin(choice)
      try read(tokens, as: .choice)
    }
    if let next, isPipelined, position < capacity {
      ahead = (next, 1 - slot)
      exchange.slots[1 - slot].begin(next)
      run(.following(slot: 1 - slot))
      model.backend.wait(for: exchange.slots[slot].token)
    }
    let token = exchange.slots[slot].token
    if ahead == nil || token.integers[0] < 0 {
      ahead = nil
      try model.finish()
    }
    guard token.integers[0] >= 0 else { throw .notFinite }
    return token.integers[0]
  }

  /// Writes `count` tokens after token 0, each the likeliest: what decoding is timed with.
  package func writeLikeliest(_ count: Int) throws(GenerationError) {
    var token: Int32 = 0
    for left in (0..<count).reversed() {
      token = try append(
        CollectionOfOne(token), choosing: .greedy, then: left > 0 ? .greedy : nil)
    }
  }

  /// Lets a step end that nobody asks for; what it wrote lies beyond the position.
  private func abandonAhead() {
    if ahead != nil { model.backend.synchronize() }
    ahead = nil
  }

  /// Enqueues `tokens`, the last of them as a step of `kind`.
  private func read(
    _ tokens: some Collection<Int32>, as kind: Step
  ) throws(GenerationError) {
    try model.check(tokens, at: position, capacity: capacity)
    var remaining = tokens[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(rows.capacity)
      remaining = remaining.dropFirst(chunk.count)
      exchange.entered.enter(chunk, at: position)
      position += chunk.count
      let step = remaining.isEmpty ? kind : .part
      if chunk.count == 1 { run(step) } else { enqueue(rows[0..<chunk.count], as: step) }
      // What is entered is written again for the next chunk.
      if !remaining.isEmpty { try model.finish() }
    }
  }

  /// Enqueues a step of one row.
  private func run(_ step: Step) {
    if let made = steps[step] { return made() }
    let made = model.backend.capture { [unowned self, single] in enqueue(single, as: step) }
    steps[step] = made
    made()
  }

  private func enqueue(_ a: DecodeBuffers, as step: Step) {
    let texts = [(rows: a, caches: caches)]
    switch step {
    case .part: model.enqueue(exchange.entered, into: a, texts: texts)
    case .logits:
      model.enqueue(exchange.entered, into: a, texts: texts, logits: exchange.logits)
    case .choice:
      model.enqueue(exchange.entered, into: a, texts: texts, logits: a.logits)
      sample(after: a, in: exchange.slots[0])
    case .following(let slot):
      model.enqueue(nil, into: a, texts: texts, logits: a.logits)
      sample(after: a, in: exchange.slots[slot])
    }
  }

  /// Enqueues the choice of what follows the last row, and leaves it for the row that reads it.
  private func sample(after a: DecodeBuffers, in slot: Exchange.Slot) {
    let last = a.positions.count - 1
    model.backend.sample(
      a.logits, by: slot.choice, into: slot.token,
      preparing: NextRow(
        token: single.tokens, position: single.positions, after: a.positions[last..<last + 1]))
  }
}

/// What passes between this machine and the one that computes.
private struct Exchange {
  let entered: InputBatch
  let logits: Tensor
  /// Two, as a step may be under way while the one before is read.
  let slots: [Slot]

  /// How a token is chosen, and which it is.
  struct Slot {
    let choice: Tensor
    let token: Tensor

    /// Makes ready for a step that chooses by `choice`.
    func begin(_ choice: SamplingStep) {
      self.choice.assign(choice.elements)
      token.integers[0] = SamplingStep.pending
    }
  }

  init(_ c: ModelConfiguration, rows: Int, in layout: inout ArenaLayout) {
    entered = InputBatch(rows, in: &layout)
    logits = layout.tensor([1, c.vocabularySize])
    slots = [0, 1].map { _ in
      Slot(
        choice: layout.tensor([SamplingStep.elementCount]), token: layout.tensor([1], .int32))
    }
  }
}
