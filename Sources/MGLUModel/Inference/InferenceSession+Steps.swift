// Steps: which rows a step takes.

extension InferenceSession {
  /// A step that is enqueued.
  struct Step {
    /// Which ``InputBatch`` and ``SampledTokens`` it has.
    let turn: Int
    /// Whose tokens are sampled, row by row.
    var sampled: [SequenceState] = []
    /// The rows that these tokens follow.
    var sampledRows: [Int] = []
    /// How many rows decode: those of the first sequences sampled.
    var decodeRows = 0
    /// The rows of prompts.
    var chunks: [AttentionRows.Chunk] = []
    /// Whose prompts are read on.
    var prefilled: [SequenceState] = []
    /// Whose prompts are read to their ends: each with its followers behind it.
    var completed: [[SequenceState]] = []
    /// Rows whose logits say how probable a token of a prompt is.
    var scored: [(state: SequenceState, row: Int, token: Int32)] = []

    /// Whether logits are changed before tokens are sampled from them.
    var adjustsLogits: Bool { sampled.contains { $0.sampler.processor != nil } }
    /// Whether the log-probabilities of sampled tokens are wanted.
    var readsLogprobs: Bool { sampled.contains { $0.request.topLogprobs != nil } }
  }

  /// Goes one step further with all sequences, and returns what it brought: nothing for a sequence
  /// whose prompt is not read to its end, one token for every other. An empty result means that
  /// prompts are still being read, or that no sequence is left (``isIdle``).
  ///
  /// - Throws: ``GenerationProblem/backend`` where the device failed; nothing is computed after that.
  public func next() throws(GenerationError) -> [SequenceOutput] {
    try tell(.next)
    var step = ahead
    ahead = nil
    if step == nil { step = begin(after: nil) }
    guard let step else { return [] }
    if isPipelined, canGoAhead(of: step) { ahead = begin(after: step) }
    return try complete(step)
  }

  /// Whether a step can be enqueued before the host has read the tokens of `step`. They tell the host that
  /// `step` is done; the logits of a step are read before those of another take their place, and are
  /// changed by what was sampled before.
  private func canGoAhead(of step: Step) -> Bool {
    !step.sampled.isEmpty && !running.contains(where: \.needsHost)
  }

  /// Enqueues a step over what is to be read, decode rows first; `nil` where there is nothing. The tokens
  /// of the step before may not be known yet.
  func begin(after previous: Step?) -> Step? {
    let decoding = running.filter(\.isDecoding)
    let isPrefilling = running.contains(where: \.isPrefilling)
    guard isPrefilling || !decoding.isEmpty else { return nil }
    turn = nextTurn
    if let previous, !isPrefilling, canFollow(previous, with: decoding) {
      return follow(previous)
    }
    var step = Step(turn: turn)
    enterDecodeRows(decoding, in: &step)
    if isPrefilling { enterPrompts(in: &step) }
    enqueue(step, after: previous)
    return step
  }

  /// Enters the last token of each sequence, where the host has it; the others are taken from the step
  /// before.
  private func enterDecodeRows(_ decoding: [SequenceState], in step: inout Step) {
    let input = inputs[step.turn]
    for (row, state) in decoding.enumerated() {
      let isKnown = state.generated == state.sampled
      input.enter(
        CollectionOfOne(isKnown ? state.lastToken : 0), at: state.position, slot: state.slot,
        firstRow: row)
      input.sources.integers[row] = isKnown ? -1 : Int32(state.place)
      state.position += 1
    }
    step.decodeRows = decoding.count
    step.sampled = decoding
    step.sampledRows = Array(decoding.indices)
  }

  /// Enters as much of prompts as a step reads, in order of arrival. A prompt is cut between blocks.
  private func enterPrompts(in step: inout Step) {
    let (input, blockSize) = (inputs[step.turn], model.backend.cacheBlockSize)
    var (row, room) = (padded(step.decodeRows), prefillChunkSize)
    for state in running where state.isPrefilling {
      let prompt = state.request.prompt
      guard room >= min(blockSize, prompt.count - state.position) else { break }
      if !state.isStarted { start(state, turn: step.turn) }
      let first = state.position
      var count = prompt.count - first
      if count > room { count = room / blockSize * blockSize }
      if state.request.promptLogprobs {
        for index in first..<first + count {
          guard let token = state.request.token(after: index) else { break }
          step.scored.append((state, row + index - first, token))
        }
      }
      input.enter(prompt[first..<first + count], at: first, slot: state.slot, firstRow: row)
      step.chunks.append(.init(rows: row..<row + count, slot: state.slot, position: first))
      step.prefilled.append(state)
      state.position += count
      row += count
      room -= count
      guard state.hasReadPrompt else { continue }
      let readers = [state] + state.followers
      step.completed.append(readers)
      guard state.limit > 0 else { continue }
      step.sampled += readers
      step.sampledRows += readers.map { _ in row - 1 }
    }
  }

  /// Whether the step after `previous` has the same rows, each a token further: those that the device
  /// was left with.
  private func canFollow(_ previous: Step, with decoding: [SequenceState]) -> Bool {
    deviceHasNextRows && previous.prefilled.isEmpty && decoding.count == previous.sampled.count
      && decoding.indices.allSatisfy { decoding[$0] === previous.sampled[$0] }
  }

  /// Enqueues the decode step that reads the tokens of `previous` where the device has them.
  private func follow(_ previous: Step) -> Step {
    var step = Step(turn: turn)
    step.sampled = previous.sampled
    step.sampledRows = previous.sampledRows
    step.decodeRows = previous.decodeRows
    for state in step.sampled { state.position += 1 }
    decode(step)
    return step
  }
}
