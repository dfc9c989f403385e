// Steps: which rows a step takes, and how it is enqueued.

extension InferenceSession {
  /// A step that is enqueued.
  struct Step {
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
  func begin() throws(GenerationError) -> Step? {
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
    let decodeRows = row
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
    try enqueue(step, rows: row, promptRows: row - decodeRows, sequences)
    return step
  }

  func enqueue(
    _ step: Step, rows: Int, promptRows: Int, _ sequences: [InferenceModel.SequenceRows]
  ) throws(GenerationError) {
    for (row, state) in step.sampled.enumerated() {
      samples[step.turn].prepare(row, state.sampler.nextStep())
    }
    deviceHasNextRows = step.leavesNextRows
    if step.prefilled.isEmpty, !step.readsLogits {
      return decode(.entered, sequences, turn: step.turn, from: input)
    }
    model.forward(
      input, into: buffers[0..<rows], sequences: sequences, promptRows: promptRows)
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
  func releaseFollowers(of state: SequenceState) {
    for follower in state.followers {
      state.cache.copy(first: state.position, into: follower.cache, on: model.backend)
      (follower.position, follower.unread) = (state.position, [])
      follower.sharedPromptTokens = state.request.prompt.count
      follower.isFollowing = false
    }
  }

  /// The residuals of `rows` side by side.
  func residuals(of rows: [Int]) -> Tensor {
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
  func sample(_ logits: Tensor, turn: Int, after previous: Tensor?) {
    let (rows, sampled) = (0..<logits.rows, samples[turn])
    model.backend.sample(
      logits, vocabulary: model.configuration.vocabularySize, by: sampled.steps[rows],
      into: sampled.tokens[rows],
      preparing: previous.map {
        NextRows(tokens: buffers.tokens[rows], positions: buffers.positions[rows], after: $0)
      })
  }

  /// Enqueues a step of decode rows alone, entered by the host or left by the step before.
  func decode(
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

  /// Whether the step after `step` is known to be over the same sequences, each a token further.
  func canFollow(_ step: Step) -> Bool {
    isPipelined && deviceHasNextRows && step.leavesNextRows && !step.readsLogits
      && step.sampled.count == running.count
      && step.sampled.allSatisfy {
        !$0.isRemoved && $0.generated + 1 < $0.request.maxTokens && $0.position < contextLength
      }
  }

  /// Enqueues the decode step that reads the tokens of `step` where the device has them.
  func follow(_ step: Step) -> Step {
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
}
