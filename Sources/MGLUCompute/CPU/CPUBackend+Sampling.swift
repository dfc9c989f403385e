// The sampling of tokens from logits.

extension CPUBackend {
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
