// How a step is enqueued.

extension InferenceSession {
  /// The rows of a step that decode, and those of prompts behind them.
  func attentionRows(decoding: Int, chunks: [AttentionRows.Chunk] = [], tiles: Int = 0)
    -> AttentionRows
  {
    let rows = 0..<(chunks.last?.rows.upperBound ?? decoding)
    return AttentionRows(
      positions: batch.positions[rows], slots: batch.slots[rows], blockTables: cache.blockTables,
      decodeRows: decoding, chunks: chunks, tiles: tiles > 0 ? batch.tiles[0..<tiles] : nil)
  }

  /// Enqueues a step whose rows the host has entered.
  func enqueue(_ step: Step, after previous: Step?) throws(GenerationError) {
    let (input, decodeRows) = (inputs[step.turn], step.decodeRows)
    if step.prefilled.isEmpty {
      for row in decodeRows..<size(of: step) {
        input.enter(CollectionOfOne(0), at: 0, slot: 0, firstRow: row)
        input.sources.integers[row] = -1
      }
    }
    for (index, row) in step.sampledRows.enumerated() {
      input.sampledRows.integers[index] = Int32(row)
    }
    let tiles = input.enterTiles(of: step.chunks)
    input.copy(to: batch, on: model.backend)
    if let previous, step.sampled.prefix(decodeRows).contains(where: { $0.generated < $0.sampled })
    {
      let tokens = samples[previous.turn].tokens
      model.backend.gather(
        tokens.reshaped([tokens.count, 1]), at: batch.sources[0..<decodeRows],
        into: batch.tokens[0..<decodeRows].reshaped([decodeRows, 1]))
    }
    guard !step.prefilled.isEmpty else { return decode(step) }
    deviceHasNextRows = false
    let rows = attentionRows(decoding: decodeRows, chunks: step.chunks, tiles: tiles)
    model.forward(
      batch.tokens[0..<rows.positions.count], rows: rows,
      into: buffers[0..<rows.positions.count], cache: cache)
    for state in step.prefilled { keepPrompt(of: state) }
    try score(step)
    for state in step.prefilled where state.hasReadPrompt {
      releaseFollowers(of: state, turn: step.turn)
    }
    guard !step.sampled.isEmpty else { return }
    prepareSamples(step, rows: step.sampled.count)
    let logits = logits[0..<step.sampled.count]
    model.logits(of: residuals(of: step), into: logits)
    sample(logits, turn: step.turn, leavesNextRows: false)
    if step.readsLogits { copyToHost(logits) }
  }

  /// How many rows a decode step is computed for.
  private func size(of step: Step) -> Int {
    isPipelined ? StepSizes.padded(step.decodeRows) : step.decodeRows
  }

  /// Enqueues a step of decode rows alone, which the device has.
  func decode(_ step: Step) {
    let rows = size(of: step)
    prepareSamples(step, rows: rows)
    decode(rows: rows, turn: step.turn)
    deviceHasNextRows = true
    if step.readsLogits { copyToHost(logits[0..<step.decodeRows]) }
  }

  /// Enqueues `rows` decode rows, and the sampling of their tokens in a turn.
  func decode(rows count: Int, turn: Int?) {
    captures.enqueue(.init(rows: count, turn: turn)) { [unowned self] in
      let logits = logits[0..<count]
      model.forward(
        batch.tokens[0..<count], rows: attentionRows(decoding: count), into: buffers[0..<count],
        cache: cache, logits: logits)
      if let turn { sample(logits, turn: turn, leavesNextRows: true) }
    }
  }

  /// Makes tokens ready to be sampled; rows of no sequence take the largest logit.
  private func prepareSamples(_ step: Step, rows: Int) {
    let samples = samples[step.turn]
    for (row, state) in step.sampled.enumerated() {
      samples.prepare(row, state.sampler.nextStep())
      state.sampled += 1
      state.place = row
    }
    for row in step.sampled.count..<rows { samples.prepare(row, .greedy) }
  }

  /// Enqueues the sampling of a token for each row of logits; after decode rows, these are left with the
  /// tokens and positions that follow.
  private func sample(_ logits: Tensor, turn: Int, leavesNextRows: Bool) {
    let (rows, sampled) = (0..<logits.rows, samples[turn])
    let positions = batch.positions[rows]
    model.backend.sample(
      logits, vocabulary: model.configuration.vocabularySize, by: sampled.steps[rows],
      into: sampled.tokens[rows],
      preparing: leavesNextRows
        ? NextRows(tokens: batch.tokens[rows], positions: positions, after: positions) : nil)
  }

  /// The residuals of the rows that a step samples from, side by side.
  private func residuals(of step: Step) -> Tensor {
    let (rows, count) = (step.sampledRows, step.sampledRows.count)
    if rows.indices.allSatisfy({ rows[$0] == rows[0] + $0 }) {
      return buffers.residual[rows[0]..<rows[0] + count]
    }
    let gathered = gathered[0..<count]
    model.backend.gather(buffers.residual, at: batch.sampledRows[0..<count], into: gathered)
    return gathered
  }
}
