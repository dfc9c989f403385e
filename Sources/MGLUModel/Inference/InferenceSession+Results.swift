// Results: the tokens of a step, as the host reads them.

extension InferenceSession {
  /// Waits for the tokens of `step`, and takes note of them.
  func complete(_ step: Step) throws(GenerationError) -> [SequenceOutput] {
    try wait(for: step)
    let tokens = samples[step.turn].tokens.integers
    // Asked once: it looks at all rows.
    let found = logprobs == nil ? 1 : step.topLogprobs
    var outputs: [SequenceOutput] = []
    for (row, item) in step.scored.enumerated() {
      item.state.promptLogprobs.append(
        tokenLogprob(
          row: row, of: item.token, top: item.state.request.topLogprobs ?? 0, found: found))
    }
    for readers in step.completed {
      for follower in readers.dropFirst() { follower.promptLogprobs = readers[0].promptLogprobs }
    }
    for state in step.completed.joined() where !state.isRemoved && state.limit == 0 {
      outputs.append(output(of: state, reason: .length))
    }
    for (row, state) in step.sampled.enumerated() where !state.isRemoved {
      let token = tokens[row]
      guard token >= 0 else {
        outputs.append(output(of: state, failure: .notFinite))
        continue
      }
      let logprob = state.request.topLogprobs.map {
        tokenLogprob(row: step.scored.count + row, of: token, top: $0, found: found)
      }
      outputs.append(
        output(of: state, token: token, logprob, reason: finishReason(of: state, token)))
      state.generated += 1
      state.sampler.processor?.append(token)
      if state.sampler.processor?.isSpent == true { state.sampler.processor = nil }
      state.lastToken = token
    }
    for output in outputs where output.isLast { removeHere(output.id) }
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
