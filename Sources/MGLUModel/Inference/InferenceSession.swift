/// Sequences generated side by side by one model: continuous batching.
///
///     let session = try InferenceSession(model, maxSequences: 8)
///     let id = try session.insert(GenerationRequest(prompt: tokens, maxTokens: 100))
///     while !session.isIdle {
///       for output in try session.next() { print(output.id == id, output.token ?? -1) }
///     }
///
/// Each sequence has blocks of a KV cache, as many as it may need at most. A step (``next()``) takes one
/// row of every sequence that decodes and prefill chunks beside them, reads the weights once for all
/// rows, and samples on the device. Where a backend computes on its own, the next step is enqueued before
/// the tokens of this one are read. Decode steps are captured once for each of a few sizes and replayed.
///
/// Sequences whose prompts begin alike share the blocks of that beginning: it is read once, also where
/// the first of them has ended. Sequences with the same prompt, inserted before one of them is read,
/// share its whole prefill.
///
/// A row's result depends on whether it decodes or is a prompt's, and on nothing else of the step: what a
/// sequence gets does not depend on its company, on how its prompt is cut, or on what was read before.
///
/// Where ranks share the model, rank 0 has the session, and the others follow (``SessionFollower``).
///
/// A session belongs to one thread at a time. Several sessions may share a model, but one backend
/// runs only one of them at any moment. Memory is allocated with the session; steps allocate no tensors.
public final class InferenceSession {
  /// The model.
  public let model: InferenceModel
  /// Most tokens of a sequence.
  public let contextLength: Int
  /// Most sequences at a time.
  public let maxSequences: Int
  /// Most tokens of prompts that a step reads.
  public let prefillChunkSize: Int

  /// Whether a step is enqueued before the tokens that it reads are known to the host.
  package var isPipelined: Bool

  let buffers: DecodeBuffers
  /// What the host tells steps, in turns, and where the model reads it.
  let inputs: [InputBatch]
  let batch: InputBatch
  /// Lines of the block tables on their way to the device, in the same turns.
  let tableLines: [Tensor]
  let samples: [SampledTokens]
  /// Logits `[rows, >= V]` where they are computed; rows of residuals that are not neighbors are
  /// gathered before.
  let logits: Tensor
  let gathered: Tensor
  /// The first row where a caller reads it.
  package lazy var hostLogits: Tensor = {
    if logits.arena.isHostVisible { return logits[0..<1] }
    return model.backend.allocateShared { $0.tensor([1, logits.columns]) }
  }()
  /// Where logits are changed, from the first step that needs it on.
  var adjustedLogits: AdjustedLogits?
  /// Log-probabilities, from the first step that needs them on.
  var logprobs: LogprobBuffers?

  let cache: SessionCache
  var pool: BlockPool
  var running: [SequenceState] = []
  /// Sequences that the caller appends tokens to.
  var manual: [SequenceID: SequenceState] = [:]
  var freeSlots: [Int]
  var lastID: UInt64 = 0
  /// The turn of the step enqueued last.
  var turn = 0
  /// The turn of the step enqueued next.
  var nextTurn: Int { (turn + 1) % Self.turns }
  /// How many steps have memory of their own that the host writes. When one is entered the tokens of the
  /// last but one are known, so that all before it are done; it may still be under way itself, padding
  /// included, and the one after it takes tokens from it.
  static let turns = 3
  /// The step that was enqueued before the tokens that it reads were known.
  var ahead: Step?
  /// Whether the device's first rows are the ones that follow the decode step enqueued last.
  var deviceHasNextRows = false
  var captures: CapturedSteps

  /// A session for at most `maxSequences` sequences of at most `contextLength` tokens.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - maxSequences: Most sequences at a time.
  ///   - contextLength: Most tokens of a sequence; by default and at most the model's context, and no more
  ///     than the cache holds.
  ///   - cacheBlocks: The blocks of the KV cache (``InferenceModel/cacheByteCount(blocks:)``); by default
  ///     as many as all sequences need at their longest.
  ///   - prefillChunkSize: Most tokens of prompts that a step reads; by default
  ///     ``prefillChunkSize(on:)``.
  public init(
    _ model: InferenceModel, maxSequences: Int = 1, contextLength: Int? = nil,
    cacheBlocks: Int? = nil, prefillChunkSize: Int? = nil
  ) {
    let plan = SessionPlan(
      model, maxSequences: maxSequences, contextLength: contextLength, cacheBlocks: cacheBlocks,
      prefillChunkSize: prefillChunkSize)
    let backend = model.backend
    self.model = model
    (self.maxSequences, self.contextLength) = (plan.maxSequences, plan.contextLength)
    self.prefillChunkSize = plan.prefillChunkSize
    isPipelined = backend.isAsynchronous
    (buffers, logits, gathered) = backend.allocate { plan.buffers(model, in: &$0) }
    inputs = (0..<Self.turns).map { _ in backend.allocateShared { plan.batch(in: &$0) } }
    batch = backend.allocate { plan.batch(in: &$0) }
    tableLines = (0..<Self.turns).map { _ in
      backend.allocateShared { plan.blockTables(in: &$0) }
    }
    samples = backend.allocateShared { layout in
      (0..<Self.turns).map { _ in SampledTokens(rows: plan.decodeRows, in: &layout) }
    }
    cache = SessionCache(
      model, blocks: plan.cacheBlocks + 1, slots: plan.slots, contextLength: plan.contextLength,
      batch: batch)
    pool = BlockPool(count: plan.cacheBlocks)
    freeSlots = Array((1..<plan.slots).reversed())
    captures = CapturedSteps(on: backend)
    // The first step would fail as well, and says so.
    try? tell(
      .begin(
        maxSequences: maxSequences, contextLength: contextLength, cacheBlocks: cacheBlocks,
        prefillChunkSize: prefillChunkSize))
  }

  deinit {
    if ahead != nil { model.backend.synchronize() }
    try? tell(.end)
  }

  /// Most tokens of prompts that a step reads where nothing else is said.
  public static func prefillChunkSize(on backend: any InferenceBackend) -> Int {
    backend.isAsynchronous ? 2048 : 256
  }

  // Sequences --------------------------------------------------------------------------------------

  /// Whether no inserted sequence is left.
  public var isIdle: Bool { running.isEmpty }
  /// How many more sequences there are slots for.
  public var freeSequences: Int { maxSequences - running.count - manual.count }

  /// Whether there are a slot and blocks for the sequence that `request` describes.
  public func hasRoom(for request: GenerationRequest) -> Bool {
    freeSequences > 0 && reservation(for: request) != nil
  }

  /// Takes a slot and blocks for the sequence that `request` describes; ``next()`` reads and continues
  /// it, up to the end of the context.
  ///
  /// - Throws: ``GenerationProblem/sequences`` where there is no room (``hasRoom(for:)``).
  public func insert(_ request: GenerationRequest) throws(GenerationError) -> SequenceID {
    try insert(request, afterDraws: 0)
  }

  /// The same where that many random numbers of the request's stream have been used before.
  func insert(
    _ request: GenerationRequest, afterDraws draws: Int
  ) throws(GenerationError) -> SequenceID {
    try tell(.insert(request, draws: draws))
    try model.check(request.prompt, at: 0, capacity: contextLength)
    guard request.maxTokens >= 0 else {
      throw GenerationError(.sampling, "\(request.maxTokens) tokens: expected 0 or more")
    }
    let vocabulary = model.configuration.vocabularySize
    if let count = request.topLogprobs, !(0...vocabulary).contains(count) {
      throw GenerationError(
        .sampling, "log-probabilities of \(count) tokens: expected 0 to \(vocabulary)")
    }
    var sampler = try Sampler(request.sampling)
    for _ in 0..<draws { _ = sampler.nextStep() }
    sampler.processor = LogitsProcessor(request, model.configuration)
    let state = try makeState(request, sampler, reservation(for: request))
    running.append(state)
    return state.id
  }

  /// Takes a slot, and blocks for the whole context, for a sequence that the caller feeds with
  /// ``append(_:to:)``; ``next()`` leaves it alone.
  public func open() throws(GenerationError) -> SequenceID {
    try tell(.open)
    let state = try makeState(
      GenerationRequest(prompt: [], maxTokens: 0), Sampler(.init()),
      reservation(ofTokens: contextLength))
    manual[state.id] = state
    return state.id
  }

  /// Ends a sequence, wherever it is; its slot and its blocks are free for others.
  public func remove(_ id: SequenceID) {
    try? tell(.remove(id))
    removeHere(id)
  }

  /// The same where other ranks remove it by themselves.
  func removeHere(_ id: SequenceID) {
    if let state = manual.removeValue(forKey: id) { return free(state) }
    guard let index = running.firstIndex(where: { $0.id == id }) else { return }
    let state = running.remove(at: index)
    if state.isFollowing {
      for other in running { other.followers.removeAll { $0 === state } }
    }
    state.handOverPrefill()
    free(state)
  }

  private func makeState(
    _ request: GenerationRequest, _ sampler: Sampler, _ reservation: Reservation?
  ) throws(GenerationError) -> SequenceState {
    guard freeSequences > 0, let slot = freeSlots.last else {
      throw GenerationError(
        .sequences, "\(maxSequences) sequences already run: expected at most as many",
        remedy: "remove one, or make a session for more")
    }
    guard let reservation else {
      throw GenerationError(
        .sequences,
        "\(pool.availableCount) of \(pool.count) blocks of the KV cache are free: the sequence may "
          + "need more",
        remedy:
          "wait for another sequence to end, ask for fewer tokens, or make a session with more")
    }
    freeSlots.removeLast()
    lastID += 1
    let state = SequenceState(
      SequenceID(number: lastID), request, sampler, slot: slot, limit: limit(of: request),
      blocks: take(reservation))
    if let leader = reservation.leader {
      leader.followers.append(state)
      state.isFollowing = true
    } else {
      (state.knownBlocks, state.prefix) = (reservation.shared.count, reservation.prefix)
    }
    return state
  }

  private func free(_ state: SequenceState) {
    state.isRemoved = true
    freeSlots.append(state.slot)
    // What prompts begin with is found through what lies before it: that is to stay longest.
    for block in state.blocks.reversed() { pool.release(block) }
  }
}
