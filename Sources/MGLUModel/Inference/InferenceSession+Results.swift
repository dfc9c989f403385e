// Results: the tokens of a step and their log-probabilities, as the host reads them.

extension InferenceSession {
  /// Waits for the tokens of `step`, and takes note of them.
  func complete(_ step: Step) throws(GenerationError) -> [SequenceOutput] {
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

  func wait(for step: Step) throws(GenerationError) {
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

  func output(
    of state: SequenceState, token: Int32? = nil, _ logprob: TokenLogprob? = nil,
    reason: FinishReason? = nil, failure: GenerationError? = nil
  ) -> SequenceOutput {
    SequenceOutput(
      id: state.id, promptLogprobs: state.generated == 0 ? state.promptLogprobs : nil,
      sharedPromptTokens: state.generated == 0 ? state.sharedPromptTokens : 0, token: token,
      logprob: logprob, finishReason: reason, failure: failure)
  }

  /// Why a sequence ends with `token`, if it does. A step that follows has moved the position on.
  func finishReason(of state: SequenceState, _ token: Int32) -> FinishReason? {
    if !state.request.ignoresEOS, model.configuration.eosTokenIDs.contains(token) { return .stop }
    let isFull = ahead == nil && state.position == contextLength
    return state.generated + 1 == state.request.maxTokens || isFull ? .length : nil
  }

  /// The log-probabilities of a prompt's tokens, as many rows at a time as there is room for.
  func score(_ step: Step) throws(GenerationError) {
    for start in stride(from: 0, to: step.scored.count, by: logits.rows) {
      let part = step.scored[start..<min(start + logits.rows, step.scored.count)]
      let logits = logits[0..<part.count]
      model.logits(of: residuals(of: part.map(\.row)), promptRows: part.count, into: logits)
      copyToHost(logits)
      try model.finish()
      for (row, item) in part.enumerated() {
        let request = item.state.request
        item.state.promptLogprobs.append(
          withHostLogits(row) {
            scorer.score(item.token, under: $0, top: request.topLogprobs ?? 0)
          })
      }
    }
  }

  /// Enqueues the copy of the first rows of logits, unless the host reads them where they are.
  func copyToHost(_ logits: Tensor) {
    if hostLogits.arena !== logits.arena {
      model.backend.copy(logits, into: hostLogits[0..<logits.rows])
    }
  }

  func withHostLogits<Result>(_ row: Int, _ body: (Span<Float>) -> Result) -> Result {
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
}
