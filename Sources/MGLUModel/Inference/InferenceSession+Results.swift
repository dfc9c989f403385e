// Results: the tokens of a step and their log-probabilities, as the host reads them.

extension InferenceSession {
  /// Waits for the tokens of `step`, and takes note of them.
  func complete(_ step: Step) throws(GenerationError) -> [SequenceOutput] {
    try wait(for: step)
    let tokens = samples[step.turn].tokens.integers
    var outputs: [SequenceOutput] = []
    for state in step.completed where !state.isRemoved && state.limit == 0 {
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
      state.sampler.processor?.append(token)
      if state.sampler.processor?.isSpent == true { state.sampler.processor = nil }
      state.lastToken = token
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

  /// Why a sequence ends with `token`, if it does.
  func finishReason(of state: SequenceState, _ token: Int32) -> FinishReason? {
    let eosTokenIDs = model.configuration.eosTokenIDs
    if state.request.isEnd(token, eosTokenIDs: eosTokenIDs) { return .stop }
    return state.generated + 1 == state.limit ? .length : nil
  }

  /// The log-probabilities of a prompt's tokens, as many rows at a time as there is room for.
  func score(_ step: Step) throws(GenerationError) {
    var start = 0
    while start < step.scored.count {
      // Neighbors, whose residuals lie side by side.
      let first = step.scored[start].row
      let rows = step.scored[start...].prefix(logits.rows).enumerated()
        .prefix { $1.row == first + $0 }.count
      let logits = logits[0..<rows]
      model.logits(of: buffers.residual[first..<first + rows], promptRows: rows, into: logits)
      copyToHost(logits)
      try model.finish()
      for (row, item) in step.scored[start..<start + rows].enumerated() {
        let request = item.state.request
        item.state.promptLogprobs.append(
          withHostLogits(row) {
            scorer.score(item.token, under: $0, top: request.topLogprobs ?? 0)
          })
      }
      start += rows
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
