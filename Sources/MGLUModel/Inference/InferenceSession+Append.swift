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
    try tell(.append(Array(tokens), to: id))
    guard let state = manual[id] else {
      throw GenerationError(
        .sequences, "tokens for a sequence that the session does not hold",
        remedy: "append to sequences of open() that are not removed")
    }
    try model.check(tokens, at: state.position, capacity: contextLength)
    deviceHasNextRows = false
    // A step may be under way in the last turn.
    let free = nextTurn
    if !state.isStarted { start(state, turn: free) }
    let isPrompt = tokens.count > 1 || state.position == 0
    var remaining = tokens[...]
    while !remaining.isEmpty {
      let chunk = remaining.prefix(prefillChunkSize)
      remaining = remaining.dropFirst(chunk.count)
      append(chunk, to: state, isPrompt: isPrompt, turn: free, isLast: remaining.isEmpty)
      // The input is written again for the next chunk.
      try model.finish()
    }
    let count = model.configuration.vocabularySize
    return hostLogits.reshaped([hostLogits.count])[0..<count].reshaped([1, count])
  }

  private func append(
    _ tokens: some Collection<Int32>, to state: SequenceState, isPrompt: Bool, turn: Int,
    isLast: Bool
  ) {
    let (input, rows, first) = (inputs[turn], 0..<tokens.count, state.position)
    state.position += tokens.count
    input.enter(tokens, at: first, slot: state.slot, firstRow: 0)
    let chunk = AttentionRows.Chunk(rows: rows, slot: state.slot, position: first)
    let tiles = isPrompt ? input.enterTiles(of: [chunk]) : 0
    input.copy(to: batch, on: model.backend)
    if isPrompt {
      model.forward(
        batch.tokens[rows], rows: attentionRows(decoding: 0, chunks: [chunk], tiles: tiles),
        into: buffers[rows], cache: cache)
      if isLast {
        model.logits(of: buffers.residual[rows.count - 1..<rows.count], into: logits[0..<1])
      }
    } else {
      decode(rows: 1, turn: nil)
    }
    if isLast, hostLogits.arena !== logits.arena {
      model.backend.copy(logits[0..<1], into: hostLogits)
    }
  }
}
