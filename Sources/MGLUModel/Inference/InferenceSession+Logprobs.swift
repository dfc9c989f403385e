// Log-probabilities of tokens, where requests ask for them: of prompts and of what is sampled.

/// The memory of log-probabilities: what they are of, and where the host reads them.
struct LogprobBuffers {
  /// The tokens of a prompt that rows are scored for.
  let targets: Tensor
  /// Log-probabilities and most probable tokens, as ``InferenceBackend/logprobs(_:vocabulary:of:into:largest:)``
  /// leaves them, row after row.
  private let (logprobs, largest): (Tensor, Tensor)
  /// How many rows, and of how many of the most probable tokens, there is room for.
  let (rows, top): (Int, Int)

  init(rows: Int, top: Int, on backend: any InferenceBackend) {
    (self.rows, self.top) = (rows, top)
    (targets, logprobs, largest) = backend.allocateShared { layout in
      (
        layout.tensor([rows], .int32), layout.tensor([rows * (1 + top)]),
        layout.tensor([rows * top], .int32)
      )
    }
  }

  /// Where those of `rows` lie, with `top` of the most probable tokens each.
  func views(of rows: Range<Int>, top: Int) -> (logprobs: Tensor, largest: Tensor) {
    func view(_ tensor: Tensor, _ width: Int) -> Tensor {
      tensor[rows.lowerBound * width..<rows.upperBound * width].reshaped([rows.count, width])
    }
    return (view(logprobs, 1 + top), view(largest, top))
  }
}

extension InferenceSession.Step {
  /// How many of the most probable tokens are found for each row: as many as a request wants, one at least.
  var topLogprobs: Int {
    let wanted = (sampled + scored.lazy.map(\.state)).compactMap(\.request.topLogprobs)
    return max(1, wanted.max() ?? 1)
  }
}

extension InferenceSession {
  /// The memory of the log-probabilities of `step`. No step that writes to it may be under way.
  @discardableResult
  private func allocateLogprobs(of step: Step) -> LogprobBuffers {
    let (rows, top) = (step.scored.count + step.sampled.count, step.topLogprobs)
    if let memory = logprobs, memory.rows >= rows, memory.top >= top { return memory }
    let memory = LogprobBuffers(rows: rows, top: top, on: model.backend)
    logprobs = memory
    return memory
  }

  /// Enqueues the log-probabilities of a prompt's tokens, as many rows at a time as there is room for
  /// logits. They are the first of the step's rows.
  func score(_ step: Step) {
    guard !step.scored.isEmpty else { return }
    let (memory, top) = (allocateLogprobs(of: step), step.topLogprobs)
    for (index, item) in step.scored.enumerated() { memory.targets.integers[index] = item.token }
    var start = 0
    while start < step.scored.count {
      // Neighbors, whose residuals lie side by side.
      let first = step.scored[start].row
      let count = step.scored[start...].prefix(logits.rows).enumerated()
        .prefix { $1.row == first + $0 }.count
      let (rows, logits) = (start..<start + count, logits[0..<count])
      model.logits(of: buffers.residual[first..<first + count], promptRows: count, into: logits)
      score(logits, of: memory.targets[rows], at: rows, top: top)
      start += count
    }
  }

  /// Enqueues the log-probabilities of the tokens sampled from the first rows of `logits`, which follow those
  /// of prompts.
  func scoreSampled(_ step: Step, _ logits: Tensor) {
    guard step.readsLogprobs else { return }
    let count = step.sampled.count
    allocateLogprobs(of: step)
    score(
      logits[0..<count], of: samples[step.turn].tokens[0..<count],
      at: step.scored.count..<step.scored.count + count, top: step.topLogprobs)
  }

  private func score(_ logits: Tensor, of targets: Tensor, at rows: Range<Int>, top: Int) {
    guard let views = logprobs?.views(of: rows, top: top) else { return }
    model.backend.logprobs(
      logits, vocabulary: model.configuration.vocabularySize, of: targets, into: views.logprobs,
      largest: views.largest)
  }

  /// What a row of a step that is done says: of prompts' tokens, then of those sampled.
  ///
  /// - Parameters:
  ///   - row: The row.
  ///   - token: Its token.
  ///   - count: How many of the most probable tokens are wanted.
  ///   - found: How many the step has found for each row (``Step/topLogprobs``).
  func tokenLogprob(row: Int, of token: Int32, top count: Int, found: Int) -> TokenLogprob {
    guard let views = logprobs?.views(of: row..<row + 1, top: found) else {
      return TokenLogprob(token)
    }
    return TokenLogprob(token, logprobs: views.logprobs, largest: views.largest, top: count)
  }
}
