import CMGLUKernels

// The choice of a token from logits, and the host's waiting for it.

extension CUDABackend {
  public func sample(
    _ logits: Tensor, by choice: Tensor, into token: Tensor, preparing next: NextRow?
  ) {
    precondition(logits.deviceAddress % 16 == 0, "logits are read 16 bytes at a time")
    launch(
      "tokens", "choose", grid: 1, block: 512,
      arguments: logits.deviceAddress, choice.deviceAddress, token.deviceAddress,
      Int32(logits.count), next?.previous.deviceAddress ?? 0, next?.token.deviceAddress ?? 0,
      next?.position.deviceAddress ?? 0)
    // A step's position is read before kernels wait for their input.
    if next != nil { orderNext() }
  }

  public var isAsynchronous: Bool { true }

  public func wait(for token: Tensor) {
    while cmglu_cuda_poll(token.integers, SamplingStep.pending) == SamplingStep.pending {
      let isDone = attempt { () throws(CUDAError) in try stream.isDone }
      if isDone ?? true { return }
    }
  }
}
