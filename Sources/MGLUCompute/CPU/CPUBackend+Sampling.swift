// The choice of a token from logits.

extension CPUBackend {
  public func sample(
    _ logits: Tensor, by choice: Tensor, into token: Tensor, preparing next: NextRow?
  ) {
    let choice = choice.withFloats { SamplingStep(elements: $0) }
    token.integers[0] = logits.withFloats { chooser.token(of: $0, by: choice) }
    guard let next else { return }
    // A token that is none is read as another, as a GPU's kernels do; what follows is not looked at.
    next.token.integers[0] = max(token.integers[0], 0)
    next.position.integers[0] = next.previous.integers[0] + 1
  }
}
