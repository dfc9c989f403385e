// Sequences fed by the caller.

extension InferenceSession {
  /// Reads `tokens` as the next ones of a sequence of ``open()``, and returns the logits `[1, V]` of
  /// the token that follows the last of them, which are valid until the session's next call.
  ///
  /// Several tokens, or the first one, are read as a prompt, another single token as one that was
  /// sampled.
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
    let isPrompt = tokens.count > 1 || state.position == 0
    var remaining = tokens[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(Self.prefillChunkSize)
      remaining = remaining.dropFirst(chunk.count)
      input.enter(chunk, at: state.position, firstRow: 0)
      state.position += chunk.count
      append(chunk.count, to: state, isPrompt: isPrompt, isLast: remaining.isEmpty)
      // The input is written again for the next chunk.
      try model.finish()
    }
    let count = model.configuration.vocabularySize
    return hostLogits.reshaped([hostLogits.count])[0..<count].reshaped([1, count])
  }

  func append(_ count: Int, to state: SequenceState, isPrompt: Bool, isLast: Bool) {
    let a = buffers[0..<count]
    let logits = logits[0..<1]
    if !isPrompt {
      let key = CapturedSteps.Key(kind: .appended, turn: 0, slots: [state.cache.index])
      captures.enqueue(key) {
        { [unowned self, input, cache = state.cache] in
          model.forward(input, into: a, sequences: [(a, cache)], logits: logits)
        }
      }
    } else {
      model.forward(input, into: a, sequences: [(a, state.cache)], promptRows: count)
      if isLast { model.logits(of: a.residual[count - 1..<count], into: logits) }
    }
    if isLast { copyToHost(logits) }
  }
}
