/// Sequences generated side by side by one model: continuous batching.
///
///     let session = try InferenceSession(model, maxSequences: 8)
///     let id = try session.insert(GenerationRequest(prompt: tokens, maxTokens: 100))
///     while !session.isIdle {
///       for output in try session.next() { print(output.id == id, output.token ?? -1) }
///     }
///
/// Each sequence has a slot with a key-value cache. A step (``next()``) takes one row of every
/// sequence that decodes and as many prefill chunks as fit beside them, reads the weights once for
/// all rows, and samples on the device. Where a backend computes on its own, the next decode step is
/// enqueued before the tokens of this one are read. Repeated decode steps are captured once and
/// replayed. Sequences with the same prompt, inserted before one of them is read, share its prefill.
///
/// Prompts are cut at multiples of ``prefillChunkSize`` tokens whatever else runs, and a row's result
/// does not depend on the rows beside it: what a sequence gets does not depend on its company.
///
/// A session belongs to one thread at a time. Several sessions may share a model, but one backend
/// runs only one of them at any moment. Memory is allocated with the session, that of a slot with its
/// first sequence; steps allocate no tensors.
public final class InferenceSession {
  /// The model.
  public let model: InferenceModel
  /// Most tokens of a sequence.
  public let contextLength: Int
  /// Most sequences at a time.
  public let maxSequences: Int

  /// Most tokens of a prompt that a step reads.
  public static let prefillChunkSize = 256

  /// Whether a decode step is enqueued before the tokens that it reads are known to the host.
  package var isPipelined: Bool

  let buffers: DecodeBuffers
  let input: InputBatch
  let samples: [SampledTokens]
  /// Logits `[rows, >= V]` where they are computed; rows of residuals that are not neighbors are
  /// gathered before.
  let logits: Tensor
  let gathered: Tensor
  /// The same where the host reads them.
  lazy var hostLogits: Tensor = {
    if logits.arena.isHostVisible { return logits }
    return model.backend.allocateShared { $0.tensor(logits.shape) }
  }()
  let scorer: LogprobScorer

  var running: [SequenceState] = []
  /// Sequences that the caller appends tokens to.
  var manual: [SequenceID: SequenceState] = [:]
  var freeSlots: [CacheSlot] = []
  var slotCount = 0
  var lastID: UInt64 = 0
  /// The decode step that was enqueued before the tokens that it reads were known.
  var ahead: Step?
  /// Whether the device's first rows are the ones that follow the step enqueued last.
  var deviceHasNextRows = false
  var captures: CapturedSteps

  /// A session for at most `maxSequences` sequences of at most `contextLength` tokens, by default and
  /// at most the model's context.
  public init(_ model: InferenceModel, maxSequences: Int = 1, contextLength: Int? = nil) {
    let c = model.configuration
    let maxSequences = max(1, maxSequences)
    let contextLength = max(1, min(contextLength ?? c.contextLength, c.contextLength))
    let rows = min(contextLength, Self.prefillChunkSize) + maxSequences
    // A prompt's logits are scored 32 rows at a time.
    let logitsRows = max(maxSequences, min(32, rows))
    let alignment = logitsAlignment / DataType.float32.byteCount
    let columns = (c.vocabularySize + alignment - 1) / alignment * alignment
    self.model = model
    self.maxSequences = maxSequences
    self.contextLength = contextLength
    isPipelined = model.backend.isAsynchronous
    (buffers, logits, gathered) = model.backend.allocate { layout in
      (
        DecodeBuffers(c, rows: rows, in: &layout), layout.tensor([logitsRows, columns]),
        layout.tensor([logitsRows, c.hiddenSize])
      )
    }
    (input, samples) = model.backend.allocateShared { layout in
      (
        InputBatch(rows: rows, in: &layout),
        [0, 1].map { _ in SampledTokens(rows: maxSequences, in: &layout) }
      )
    }
    scorer = LogprobScorer(on: model.backend.host)
    captures = CapturedSteps(on: model.backend)
  }

  deinit { if ahead != nil { model.backend.synchronize() } }

  // Sequences --------------------------------------------------------------------------------------

  /// Whether no inserted sequence is left.
  public var isIdle: Bool { running.isEmpty }
  /// How many more sequences there is room for.
  public var freeSequences: Int { maxSequences - running.count - manual.count }

  /// Takes a slot for the sequence that `request` describes; ``next()`` reads and continues it.
  public func insert(_ request: GenerationRequest) throws(GenerationError) -> SequenceID {
    try insert(request, afterDraws: 0)
  }

  /// The same where that many random numbers of the request's stream have been used before.
  func insert(
    _ request: GenerationRequest, afterDraws draws: Int
  ) throws(GenerationError) -> SequenceID {
    try model.check(request.prompt, at: 0, capacity: contextLength)
    guard request.maxTokens >= 0 else {
      throw GenerationError(.sampling, "\(request.maxTokens) tokens: expected 0 or more")
    }
    var sampler = try Sampler(request.sampling)
    for _ in 0..<draws { _ = sampler.nextStep() }
    let state = try makeState(request, sampler)
    _ = running.contains { $0.lead(state) }
    running.append(state)
    return state.id
  }

  /// Takes a slot for a sequence that the caller feeds with ``append(_:to:)``; ``next()`` leaves it
  /// alone.
  public func open() throws(GenerationError) -> SequenceID {
    let state = try makeState(GenerationRequest(prompt: [], maxTokens: 0), Sampler(.init()))
    manual[state.id] = state
    return state.id
  }

  /// Ends a sequence, wherever it is; its slot is free for another.
  public func remove(_ id: SequenceID) {
    if let state = manual.removeValue(forKey: id) { return free(state) }
    guard let index = running.firstIndex(where: { $0.id == id }) else { return }
    let state = running.remove(at: index)
    for other in running { other.followers.removeAll { $0 === state } }
    state.handOverPrefill()
    free(state)
  }

  private func makeState(
    _ request: GenerationRequest, _ sampler: Sampler
  ) throws(GenerationError) -> SequenceState {
    guard freeSequences > 0 else {
      throw GenerationError(
        .sequences, "\(maxSequences) sequences already run: expected at most as many",
        remedy: "remove one, or make a session for more")
    }
    lastID += 1
    return SequenceState(SequenceID(number: lastID), request, sampler, in: takeSlot())
  }

  /// The slot freed last, so that what was captured over it serves again.
  private func takeSlot() -> CacheSlot {
    if let slot = freeSlots.popLast() { return slot }
    defer { slotCount += 1 }
    return CacheSlot(slotCount, model, capacity: contextLength)
  }

  private func free(_ state: SequenceState) {
    state.isRemoved = true
    freeSlots.append(state.cache)
  }
}
