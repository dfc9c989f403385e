import CMGLUKernels

// The sampling of tokens from logits, the host's waiting for them, and log-probabilities.

extension CUDABackend {
  public func adjust(
    _ logits: Tensor, vocabulary: Int, by adjustments: Tensor, starts: Tensor, into adjusted: Tensor
  ) {
    launch(
      "logits", "adjust", grid: LaunchSize(logits.rows), block: 512,
      arguments: logits.deviceAddress, starts.deviceAddress, adjustments.deviceAddress,
      adjusted.deviceAddress, Int32(vocabulary), Int32(logits.columns))
  }

  public func sample(
    _ logits: Tensor, vocabulary: Int, by steps: Tensor, into tokens: Tensor,
    preparing next: NextRows?
  ) {
    requireAlignment(of: logits)
    launch(
      "tokens", "sample", grid: LaunchSize(logits.rows), block: 512,
      arguments: logits.deviceAddress, steps.deviceAddress, tokens.deviceAddress,
      Int32(vocabulary), Int32(logits.columns), next?.previous.deviceAddress ?? 0,
      next?.tokens.deviceAddress ?? 0, next?.positions.deviceAddress ?? 0)
    // A step's position is read before kernels wait for their input.
    if next != nil { orderNext() }
  }

  public func logprobs(
    _ logits: Tensor, vocabulary: Int, of targets: Tensor, into logprobs: Tensor, largest: Tensor
  ) {
    requireAlignment(of: logits)
    launch(
      "tokens", "logprobs", grid: LaunchSize(logits.rows), block: 512,
      arguments: logits.deviceAddress, targets.deviceAddress, logprobs.deviceAddress,
      largest.deviceAddress, Int32(vocabulary), Int32(logits.columns), Int32(largest.columns))
  }

  private func requireAlignment(of logits: Tensor) {
    precondition(
      logits.deviceAddress % UInt64(logitsAlignment) == 0
        && (logits.rows == 1 || logits.columns * 4 % logitsAlignment == 0),
      "a row of logits begins at a multiple of \(logitsAlignment) bytes")
  }

  public var isAsynchronous: Bool { true }

  public func wait(for token: Tensor) {
    while cmglu_cuda_poll(token.integers, SamplingStep.pending) == SamplingStep.pending {
      let isDone = attempt { () throws(CUDAError) in try stream.isDone }
      if isDone ?? true { return }
    }
  }
}
