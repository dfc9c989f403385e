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

  private let buffers: DecodeBuffers
  private let input: InputBatch
  private let samples: [SampledTokens]
  /// Logits `[rows, >= V]` where they are computed; rows of residuals that are not neighbors are
  /// gathered before.
  private let logits: Tensor
  private let gathered: Tensor
  /// The same where the host reads them.
  private lazy var hostLogits: Tensor = {
    if logits.arena.isHostVisible { return logits }
    return model.backend.allocateShared { $0.tensor(logits.shape) }
  }()
  private let scorer: LogprobScorer

  private var running: [SequenceState] = []
  /// Sequences that the caller appends tokens to.
  private var manual: [SequenceID: SequenceState] = [:]
  private var freeSlots: [CacheSlot] = []
  private var slotCount = 0
  private var lastID: UInt64 = 0
  /// The decode step that was enqueued before the tokens that it reads were known.
  private var ahead: Step?
  /// Whether the device's first rows are the ones that follow the step enqueued last.
  private var deviceHasNextRows = false
  private var captures: CapturedSteps

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

  // Steps ------------------------------------------------------------------------------------------

  /// A step that is enqueued.
  private struct Step {
    /// Whose tokens are sampled, row by row.
    var sampled: [SequenceState] = []
    /// The rows that these tokens follow.
    var sampledRows: [Int] = []
    /// Whose prompts were read on.
    var prefilled: [SequenceState] = []
    /// Rows whose logits say how probable a token of a prompt is.
    var scored: [(state: SequenceState, row: Int, token: Int32)] = []
    /// Which of the two ``SampledTokens`` has the tokens.
    var turn = 0

    /// Whether the host reads the logits of sampled rows.
    var readsLogits: Bool { sampled.contains { $0.request.topLogprobs != nil } }

    /// Whether the tokens can be left in the first rows for the step that follows: sampled rows are
    /// these rows, or a single one.
    var leavesNextRows: Bool {
      sampledRows.count == 1 || sampledRows.indices.allSatisfy { sampledRows[$0] == $0 }
    }
  }

  /// Goes one step further with all sequences, and returns what it brought: nothing for a sequence
  /// whose prompt is not read to its end, one token for every other. An empty result means that
  /// prompts are still being read, or that no sequence is left (``isIdle``).
  ///
  /// - Throws: ``GenerationProblem/backend`` where the device failed; nothing is computed after that.
  public func next() throws(GenerationError) -> [SequenceOutput] {
    var step = ahead
    if step == nil { step = try begin() }
    guard let step else { return [] }
    ahead = canFollow(step) ? follow(step) : nil
    return try complete(step)
  }

  /// Enqueues a step over what is to be read, decode rows first; `nil` where there is nothing.
  private func begin() throws(GenerationError) -> Step? {
    var step = Step()
    var (row, sequences) = (0, [InferenceModel.SequenceRows]())
    func take(_ state: SequenceState, _ count: Int) {
      input.enter(state.unread.prefix(count), at: state.position, firstRow: row)
      sequences.append((buffers[row..<row + count], state.cache))
      state.unread = state.unread.dropFirst(count)
      state.position += count
      row += count
    }
    for state in running where state.isDecoding {
      step.sampled.append(state)
      step.sampledRows.append(row)
      take(state, 1)
    }
    for state in running where !state.isDecoding && !state.isFollowing {
      let (first, prompt) = (state.position, state.request.prompt)
      let count = min(state.unread.count, Self.prefillChunkSize)
      guard row + count <= buffers.tokens.count else { continue }
      if state.request.promptLogprobs {
        for index in first..<min(first + count, prompt.count - 1) {
          step.scored.append((state, row + index - first, prompt[index + 1]))
        }
      }
      take(state, count)
      let readers = state.unread.isEmpty ? [state] + state.followers : [state]
      step.prefilled += readers
      guard state.unread.isEmpty, state.request.maxTokens > 0 else { continue }
      step.sampled += readers
      step.sampledRows += readers.map { _ in row - 1 }
    }
    guard row > 0 else { return nil }
    try enqueue(step, rows: row, sequences)
    return step
  }

  private func enqueue(
    _ step: Step, rows: Int, _ sequences: [InferenceModel.SequenceRows]
  ) throws(GenerationError) {
    for (row, state) in step.sampled.enumerated() {
      samples[step.turn].prepare(row, state.sampler.nextStep())
    }
    deviceHasNextRows = step.leavesNextRows
    if step.prefilled.isEmpty, !step.readsLogits {
      return decode(.entered, sequences, turn: step.turn, from: input)
    }
    model.forward(input, into: buffers[0..<rows], sequences: sequences)
    for state in step.prefilled where state.unread.isEmpty { releaseFollowers(of: state) }
    try score(step)
    guard let first = step.sampledRows.first else { return }
    let logits = logits[0..<step.sampled.count]
    model.logits(of: residuals(of: step.sampledRows), into: logits)
    sample(
      logits, turn: step.turn,
      after: step.leavesNextRows ? buffers.positions[first..<first + logits.rows] : nil)
    if step.readsLogits { copyToHost(logits) }
  }

  /// Gives the followers of a sequence whose prefill is complete what it has read.
  private func releaseFollowers(of state: SequenceState) {
    for follower in state.followers {
      state.cache.copy(first: state.position, into: follower.cache, on: model.backend)
      (follower.position, follower.unread) = (state.position, [])
      follower.sharedPromptTokens = state.request.prompt.count
      follower.isFollowing = false
    }
  }

  /// The residuals of `rows` side by side.
  private func residuals(of rows: [Int]) -> Tensor {
    let first = rows[0]
    if rows.indices.allSatisfy({ rows[$0] == first + $0 }) {
      return buffers.residual[first..<first + rows.count]
    }
    for (target, row) in rows.enumerated() {
      model.backend.copy(
        buffers.residual[row..<row + 1], into: gathered[target..<target + 1])
    }
    return gathered[0..<rows.count]
  }

  /// Enqueues the sampling of a token for each row of logits. With the positions of the rows before
  /// them, the tokens are left in the first rows, too.
  private func sample(_ logits: Tensor, turn: Int, after previous: Tensor?) {
    let (rows, sampled) = (0..<logits.rows, samples[turn])
    model.backend.sample(
      logits, vocabulary: model.configuration.vocabularySize, by: sampled.steps[rows],
      into: sampled.tokens[rows],
      preparing: previous.map {
        NextRows(tokens: buffers.tokens[rows], positions: buffers.positions[rows], after: $0)
      })
  }

  /// Enqueues a step of decode rows alone, entered by the host or left by the step before.
  private func decode(
    _ kind: CapturedSteps.Key.Kind, _ sequences: [InferenceModel.SequenceRows], turn: Int,
    from input: InputBatch?
  ) {
    let key = CapturedSteps.Key(kind: kind, turn: turn, slots: sequences.map(\.cache.index))
    captures.enqueue(key) {
      let rows = 0..<sequences.count
      let (a, logits) = (buffers[rows], logits[rows])
      return { [unowned self] in
        model.forward(input, into: a, sequences: sequences, logits: logits)
        sample(logits, turn: turn, after: a.positions)
      }
    }
  }

  // The host one step behind ------------------------------------------------------------------------

  /// Whether the step after `step` is known to be over the same sequences, each a token further.
  private func canFollow(_ step: Step) -> Bool {
    isPipelined && deviceHasNextRows && step.leavesNextRows && !step.readsLogits
      && step.sampled.count == running.count
      && step.sampled.allSatisfy {
        !$0.isRemoved && $0.generated + 1 < $0.request.maxTokens && $0.position < contextLength
      }
  }

  /// Enqueues the decode step that reads the tokens of `step` where the device has them.
  private func follow(_ step: Step) -> Step {
    let next = Step(
      sampled: step.sampled, sampledRows: Array(step.sampled.indices), turn: 1 - step.turn)
    for (row, state) in next.sampled.enumerated() {
      samples[next.turn].prepare(row, state.sampler.nextStep())
      state.position += 1
    }
    decode(
      .following, next.sampled.enumerated().map { (buffers[$0..<$0 + 1], $1.cache) },
      turn: next.turn, from: nil)
    return next
  }

  // Results -----------------------------------------------------------------------------------------

  /// Waits for the tokens of `step`, and takes note of them.
  private func complete(_ step: Step) throws(GenerationError) -> [SequenceOutput] {
    try wait(for: step)
    let tokens = samples[step.turn].tokens.integers
    var outputs: [SequenceOutput] = []
    for state in step.prefilled where state.unread.isEmpty {
      for follower in state.followers { follower.promptLogprobs = state.promptLogprobs }
      state.followers = []
    }
    for state in step.prefilled
    where !state.isRemoved && state.unread.isEmpty && state.request.maxTokens == 0 {
      outputs.append(output(of: state, reason: .length))
    }
    for (row, state) in step.sampled.enumerated() where !state.isRemoved {
      let token = tokens[row]
      guard token >= 0 else {
        outputs.append(output(of: state, failure: .notFinite))
        continue
      }
      let logprob = state.request.topLogprobs.map { top in
        withHostLogits(row) { scorer.score(token, under: $0, top: top) }
      }
      outputs.append(
        output(of: state, token: token, logprob, reason: finishReason(of: state, token)))
      state.generated += 1
      state.unread = ahead == nil ? [token] : []
    }
    for output in outputs where output.isLast { remove(output.id) }
    return outputs
  }

  private func wait(for step: Step) throws(GenerationError) {
    let tokens = samples[step.turn].tokens
    if ahead != nil {
      for row in step.sampled.indices { model.backend.wait(for: tokens[row..<row + 1]) }
      if step.sampled.indices.allSatisfy({ tokens.integers[$0] >= 0 }) { return }
    }
    do { try model.finish() } catch {
      ahead = nil
      throw error
    }
  }

  private func output(
    of state: SequenceState, token: Int32? = nil, _ logprob: TokenLogprob? = nil,
    reason: FinishReason? = nil, failure: GenerationError? = nil
  ) -> SequenceOutput {
    SequenceOutput(
      id: state.id, promptLogprobs: state.generated == 0 ? state.promptLogprobs : nil,
      sharedPromptTokens: state.generated == 0 ? state.sharedPromptTokens : 0, token: token,
      logprob: logprob, finishReason: reason, failure: failure)
  }

  /// Why a sequence ends with `token`, if it does. A step that follows has moved the position on.
  private func finishReason(of state: SequenceState, _ token: Int32) -> FinishReason? {
    if !state.request.ignoresEOS, model.configuration.eosTokenIDs.contains(token) { return .stop }
    let isFull = ahead == nil && state.position == contextLength
    return state.generated + 1 == state.request.maxTokens || isFull ? .length : nil
  }

  /// The log-probabilities of a prompt's tokens, as many rows at a time as there is room for.
  private func score(_ step: Step) throws(GenerationError) {
    for start in stride(from: 0, to: step.scored.count, by: logits.rows) {
      let part = step.scored[start..<min(start + logits.rows, step.scored.count)]
      let logits = logits[0..<part.count]
      model.logits(of: residuals(of: part.map(\.row)), into: logits)
      copyToHost(logits)
      try model.finish()
      for (row, item) in part.enumerated() {
        let request = item.state.request
        if item.state.promptLogprobs.isEmpty {
          item.state.promptLogprobs.append(TokenLogprob(request.prompt[0]))
        }
        item.state.promptLogprobs.append(
          withHostLogits(row) {
            scorer.score(item.token, under: $0, top: request.topLogprobs ?? 0)
          })
      }
    }
  }

  /// Enqueues the copy of the first rows of logits, unless the host reads them where they are.
  private func copyToHost(_ logits: Tensor) {
    if hostLogits.arena !== logits.arena {
      model.backend.copy(logits, into: hostLogits[0..<logits.rows])
    }
  }

  private func withHostLogits<Result>(_ row: Int, _ body: (Span<Float>) -> Result) -> Result {
    hostLogits[row..<row + 1].withFloats {
      body($0.extracting(0..<model.configuration.vocabularySize))
    }
  }

  /// Generates `count` tokens after token 0, each the most probable one: what decoding is timed with.
  package func generateGreedily(_ count: Int) throws(GenerationError) {
    let request = GenerationRequest(prompt: [0], maxTokens: count, ignoresEOS: true)
    let id = try insert(request)
    defer { remove(id) }
    while let output = try next().first {
      if let failure = output.failure { throw failure }
      if output.isLast { return }
    }
  }

  // Sequences fed by the caller ---------------------------------------------------------------------

  /// Reads `tokens` as the next ones of a sequence of ``open()``, and returns the logits `[1, V]` of
  /// the token that follows the last of them, which are valid until the session's next call.
  public func append(
    _ tokens: some Collection<Int32>, to id: SequenceID
  ) throws(GenerationError) -> Tensor {
    guard let state = manual[id] else {
      throw GenerationError(
        .sequences, "tokens for a sequence that the session does not hold",
        remedy: "append to sequences of open() that are not removed")
    }
    try model.check(tokens, at: state.position, capacity: contextLength)
    deviceHasNextRows = false
    var remaining = tokens[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(Self.prefillChunkSize)
      remaining = remaining.dropFirst(chunk.count)
      input.enter(chunk, at: state.position, firstRow: 0)
      state.position += chunk.count
      append(chunk.count, to: state, isLast: remaining.isEmpty)
      // The input is written again for the next chunk.
      try model.finish()
    }
    let count = model.configuration.vocabularySize
    return hostLogits.reshaped([hostLogits.count])[0..<count].reshaped([1, count])
  }

  private func append(_ count: Int, to state: SequenceState, isLast: Bool) {
    let a = buffers[0..<count]
    let logits = logits[0..<1]
    if count == 1 {
      let key = CapturedSteps.Key(kind: .appended, turn: 0, slots: [state.cache.index])
      captures.enqueue(key) {
        { [unowned self, input, cache = state.cache] in
          model.forward(input, into: a, sequences: [(a, cache)], logits: logits)
        }
      }
    } else {
      model.forward(input, into: a, sequences: [(a, state.cache)])
      if isLast { model.logits(of: a.residual[count - 1..<count], into: logits) }
    }
    if isLast { copyToHost(logits) }
  }
}
