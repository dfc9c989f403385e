import MGLUModel

extension TokenLogprob {
  /// The log-probability of `id` and of the `count` most probable tokens under one row of logits.
  package init(of id: Int32, under logits: Tensor, top count: Int, on backend: any InferenceBackend)
  {
    let (targets, logprobs, largest) = backend.allocateShared { layout in
      (
        layout.tensor([1], .int32), layout.tensor([1, 1 + max(1, count)]),
        layout.tensor([1, max(1, count)], .int32)
      )
    }
    targets.assign(integers: [id])
    backend.logprobs(
      logits, vocabulary: logits.columns, of: targets, into: logprobs, largest: largest)
    backend.synchronize()
    self.init(id, logprobs: logprobs, largest: largest, top: count)
  }
}
