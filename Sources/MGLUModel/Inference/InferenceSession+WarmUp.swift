// Everything that the first requests would wait for, before they come.

extension InferenceSession {
  /// Compiles the kernels of all steps, side by side where the backend can, and captures and computes a
  /// step of each kind, so that no request waits for that. Where the backend computes as it is called
  /// there is nothing to do.
  ///
  /// - Parameters:
  ///   - progress: Receives how many kernels are compiled, of how many; on any thread.
  ///   - isCancelled: Whether no request will come, so that the rest is left; on any thread.
  /// - Throws: ``GenerationProblem/backend`` where the device failed.
  /// - Precondition: No sequence has begun.
  public func warmUp(
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in },
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws(GenerationError) {
    guard isPipelined else { return }
    try tell(.warmUp)
    // What ranks compute together all of them compute.
    let isShared = model.communicator != nil
    let isCancelled: @Sendable () -> Bool = { !isShared && isCancelled() }
    allocateAdjustedLogits()
    model.backend.prepare(progress: progress, isCancelled: isCancelled) {
      for count in warmUpPrompts { computeRows(decoding: 0, prompt: count) }
      for count in StepSizes.all(upTo: maxSequences) {
        computeRows(decoding: count, prompt: 1)
        computeDecodeRows(count, turn: 0)
      }
    }
    try model.finish()
    if isCancelled() { return }
    for count in warmUpPrompts {
      computeRows(decoding: 0, prompt: count)
      try model.finish()
    }
    for count in StepSizes.all(upTo: maxSequences) {
      computeRows(decoding: count, prompt: 1)
      try model.finish()
      for turn in 0..<Self.turns {
        for row in 0..<count { samples[turn].prepare(row, .greedy) }
        decode(rows: count, turn: turn)
        try model.finish()
      }
    }
  }

  /// Rows of prompts of all magnitudes. Between powers of two, too, a backend may change to other kernels.
  private var warmUpPrompts: [Int] {
    var counts: [Int] = []
    var rows = 1
    while rows <= prefillChunkSize {
      counts += [rows, min(rows + rows / 2, prefillChunkSize)]
      rows *= 2
    }
    return counts + [prefillChunkSize]
  }

  /// A step of rows that decode and rows of prompts, over the block that belongs to no sequence, and the
  /// logits of both.
  private func computeRows(decoding: Int, prompt: Int) {
    let (input, count) = (inputs[0], decoding + prompt)
    var chunks: [AttentionRows.Chunk] = []
    for first in stride(from: decoding, to: count, by: contextLength) {
      chunks.append(.init(rows: first..<min(first + contextLength, count), slot: 0, position: 0))
    }
    input.enter(repeatElement(0, count: decoding), at: 0, slot: 0, firstRow: 0)
    for row in 0..<decoding { input.positions.integers[row] = 0 }
    for chunk in chunks {
      input.enter(
        repeatElement(0, count: chunk.rows.count), at: 0, slot: 0, firstRow: chunk.rows.lowerBound)
    }
    for row in 0..<decoding { input.sampledRows.integers[row] = 0 }
    let tiles = input.enterTiles(of: chunks)
    input.copy(to: batch, on: model.backend)
    model.forward(
      batch.tokens[0..<count],
      rows: attentionRows(decoding: decoding, chunks: chunks, tiles: tiles),
      into: buffers[0..<count], cache: cache)
    let scored = min(prompt, logits.rows)
    model.logits(
      of: buffers.residual[count - scored..<count], promptRows: scored, into: logits[0..<scored])
    guard decoding > 0 else { return }
    model.backend.gather(
      buffers.residual, at: batch.sampledRows[0..<decoding], into: gathered[0..<decoding])
    model.logits(of: gathered[0..<decoding], into: logits[0..<decoding])
    _ = adjusted(logits[0..<decoding], for: [])
  }
}
