extension AdamW {
  /// The moments where the host reads and writes them.
  struct HostMoments {
    fileprivate let first: Arena
    fileprivate let second: Arena
    /// Under PyTorch's names, parameter by parameter.
    let named: [(String, Tensor)]
  }

  /// The moments, or copies of them, once all that was enqueued is done.
  func momentsOnHost(_ model: LanguageModel) -> HostMoments {
    let first = model.backend.onHost(firstMoment.floats).arena
    let second = model.backend.onHost(secondMoment.floats).arena
    let named = model.trainedParameters.flatMap { parameter in
      [
        ("exp_avg.\(parameter.name)", parameter.tensor.counterpart(in: first)),
        ("exp_avg_sq.\(parameter.name)", parameter.tensor.counterpart(in: second)),
      ]
    }
    return HostMoments(first: first, second: second, named: named)
  }

  /// Takes up moments that the host has written.
  func upload(_ moments: HostMoments, to model: LanguageModel) {
    for (source, target) in [(moments.first, firstMoment), (moments.second, secondMoment)]
    where source !== target {
      model.backend.copy(source.floats, into: target.floats)
    }
    model.backend.synchronize()
  }
}
