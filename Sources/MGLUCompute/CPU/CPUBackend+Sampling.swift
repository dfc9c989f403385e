// The sampling of tokens from logits.

extension CPUBackend {
  public func adjust(
    _ logits: Tensor, vocabulary: Int, by adjustments: Tensor, starts: Tensor, into adjusted: Tensor
  ) {
    copy(logits, into: adjusted)
    let words = adjustments.integers
    for row in 0..<logits.rows {
      let first = row * logits.columns
      for index in Int(starts.integers[row])..<Int(starts.integers[row + 1]) {
        let change = LogitAdjustment(elements: words + index * LogitAdjustment.elementCount)
        guard case let token = Int(change.token), 0..<vocabulary ~= token else { continue }
        adjusted.floats[first + token] = change.applied(to: logits.floats[first + token])
      }
    }
  }

  public func sample(
    _ logits: Tensor, vocabulary: Int, by steps: Tensor, into tokens: Tensor,
    preparing next: NextRows?
  ) {
    for row in 0..<logits.rows {
      let step = steps[row..<row + 1].withFloats { SamplingStep(elements: $0) }
      let token = logits[row..<row + 1].withFloats {
        hostSampler.token(of: $0.extracting(0..<vocabulary), by: step)
      }
      tokens.integers[row] = token
      guard let next else { continue }
      // Where there is no token another is read, as a GPU's kernels do; nobody looks at what follows.
      next.tokens.integers[row] = max(token, 0)
      next.positions.integers[row] = next.previous.integers[row] + 1
    }
  }
}
