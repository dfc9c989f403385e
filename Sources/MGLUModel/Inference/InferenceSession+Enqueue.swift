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
  func enqueue(_ step: Step, after previous: Step?) {
    let input = inputs[step.turn]
    enterPadding(of: step)
    let tiles = input.enterTiles(of: step.chunks)
    input.copy(to: batch, on: model.backend)
    let decoding = step.sampled.prefix(step.decodeRows)
    if let previous, decoding.contains(where: { $0.generated < $0.sampled }) {
      let (tokens, rows) = (samples[previous.turn].tokens, 0..<step.decodeRows)
      model.backend.gather(
        tokens.reshaped([tokens.count, 1]), at: batch.sources[rows],
        into: batch.tokens[rows].reshaped([rows.count, 1]))
    }
    guard !step.prefilled.isEmpty else { return decode(step) }
    deviceHasNextRows = false
    let rows = attentionRows(
      decoding: padded(step.decodeRows), chunks: step.chunks, tiles: tiles)
    model.forward(
      batch.tokens[0..<rows.positions.count], rows: rows,
      into: buffers[0..<rows.positions.count], cache: cache)
    for state in step.prefilled { keepPrompt(of: state) }
    score(step)
    for state in step.prefilled where state.hasReadPrompt {
      releaseFollowers(of: state, turn: step.turn)
    }
    guard !step.sampled.isEmpty else { return }
    let count = padded(step.sampled.count)
    prepareSamples(step, rows: count)
    let logits = logits[0..<count]
    model.logits(of: residuals(of: step, count), into: logits)
    sample(
      step.adjustsLogits ? adjusted(logits, for: step.sampled) : logits, turn: step.turn,
      leavesNextRows: false)
    scoreSampled(step, logits)
  }

  /// How many rows are computed for `rows` that decode or are sampled from.
  func padded(_ rows: Int) -> Int { isPipelined && rows > 0 ? StepSizes.padded(rows) : rows }

  /// Enters the rows that belong to no sequence, and the rows that are sampled from.
  private func enterPadding(of step: Step) {
    let input = inputs[step.turn]
    for row in step.decodeRows..<padded(step.decodeRows) {
      input.enter(CollectionOfOne(0), at: 0, slot: 0, firstRow: row)
    }
    for (index, row) in step.sampledRows.enumerated() {
      input.sampledRows.integers[index] = Int32(row)
    }
    for index in step.sampledRows.count..<padded(step.sampledRows.count) {
      input.sampledRows.integers[index] = 0
    }
  }

  /// Enqueues a step of decode rows alone, which the device has.
  func decode(_ step: Step) {
    let rows = padded(step.decodeRows)
    prepareSamples(step, rows: rows)
    if step.adjustsLogits {
      // What changes from step to step is not in the captured one.
      decode(rows: rows, turn: nil)
      sample(
        adjusted(logits[0..<rows], for: step.sampled), turn: step.turn, leavesNextRows: true)
    } else {
      decode(rows: rows, turn: step.turn)
    }
    deviceHasNextRows = true
    scoreSampled(step, logits)
  }

  /// Enqueues decode rows, and the sampling of their tokens in a turn: captured, or a captured step.
  func decode(rows count: Int, turn: Int?) {
    captures.enqueue(.init(rows: count, turn: turn)) { [unowned self] in
      computeDecodeRows(count, turn: turn)
    }
  }

  /// Enqueues the operations of decode rows.
  func computeDecodeRows(_ count: Int, turn: Int?) {
    let logits = logits[0..<count]
    model.forward(
      batch.tokens[0..<count], rows: attentionRows(decoding: count), into: buffers[0..<count],
      cache: cache, logits: logits)
    if let turn { sample(logits, turn: turn, leavesNextRows: true) }
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

  /// The residuals of the rows that a step samples from, side by side, `count` with those of no sequence.
  private func residuals(of step: Step, _ count: Int) -> Tensor {
    let rows = step.sampledRows
    if rows.count == count, rows.indices.allSatisfy({ rows[$0] == rows[0] + $0 }) {
      return buffers.residual[rows[0]..<rows[0] + count]
    }
    let gathered = gathered[0..<count]
    model.backend.gather(buffers.residual, at: batch.sampledRows[0..<count], into: gathered)
    return gathered
  }
}
