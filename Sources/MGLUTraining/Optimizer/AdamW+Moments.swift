import MGLUModel

extension AdamW {
  /// The moments of all parameters where the host reads and writes them.
  struct HostMoments {
    fileprivate let first: Arena
    fileprivate let second: Arena
    /// Under PyTorch's names, parameter by parameter.
    let named: [(String, Tensor)]

    fileprivate init(first: Arena, second: Arena, _ model: LanguageModel) {
      (self.first, self.second) = (first, second)
      named = model.trainedParameters.flatMap { parameter in
        [
          ("exp_avg.\(parameter.name)", parameter.tensor.counterpart(in: first)),
          ("exp_avg_sq.\(parameter.name)", parameter.tensor.counterpart(in: second)),
        ]
      }
    }
  }

  /// Memory of the host for the moments of all parameters: the optimizer's own where it is that.
  func hostMoments(_ model: LanguageModel) -> HostMoments {
    func arena(_ share: ArenaParts) -> Arena {
      if communicator == nil, share.arena.isHostVisible { return share.arena }
      return model.backend.host.allocate { $0.tensor([model.trainedByteCount / 4]) }.arena
    }
    return HostMoments(first: arena(firstMoment), second: arena(secondMoment), model)
  }

  /// Brings the moments of all ranks to rank 0's host, which alone gets them. All ranks must call it.
  func gatherMoments(_ model: LanguageModel) throws -> HostMoments? {
    let moments = communicator?.group.isLeader == false ? nil : hostMoments(model)
    try move(moments, model, toHost: true)
    return moments
  }

  /// Gives each rank its share of the moments that rank 0 has. All ranks must call it.
  func scatter(_ moments: HostMoments?, _ model: LanguageModel) throws {
    try move(moments, model, toHost: false)
  }

  private func move(_ moments: HostMoments?, _ model: LanguageModel, toHost: Bool) throws {
    for (host, share) in [(moments?.first, firstMoment), (moments?.second, secondMoment)] {
      try move(host, share, of: shares.bytes, on: model.backend, toHost: toHost)
    }
  }

  /// Brings the parameters that ranks share to rank 0's host. All ranks must call it.
  func gatherParameters(_ model: LanguageModel) throws {
    try moveParameters(model, toHost: true)
  }

  /// Gives each rank its share of the parameters on rank 0's host, and what it has whole of them. All ranks
  /// must call it.
  package func scatterParameters(_ model: LanguageModel) throws {
    try moveParameters(model, toHost: false)
    try model.gatherRest(in: shares)
  }

  private func moveParameters(_ model: LanguageModel, toHost: Bool) throws {
    model.completeParameters()
    let host = rank == 0 ? model.weights.arena : nil
    try move(
      host, model.masterParameters, of: shares.allBytes, on: model.backend, toHost: toHost)
  }

  /// Moves an arena of rank 0's host, which other ranks do not have, to the shares of all ranks, or back.
  private func move(
    _ host: Arena?, _ share: ArenaParts, of bytes: (_ rank: Int) -> [Range<Int>],
    on backend: any TrainingBackend, toHost: Bool
  ) throws {
    if let host, host !== share.arena {
      for own in bytes(rank) {
        let (inside, outside) = (share.elements(inBytes: own), host.floats(inBytes: own))
        backend.copy(toHost ? inside : outside, into: toHost ? outside : inside)
      }
    }
    if let communicator, let staging = sum.staging {
      // Through memory of the device, because a transport may reach no other.
      for peer in 1..<communicator.group.size {
        for bytes in Self.pieces(of: bytes(peer), byteCount: staging.byteCount) {
          let staged = staging.floats(inBytes: 0..<bytes.count)
          if let host {
            let outside = host.floats(inBytes: bytes)
            if !toHost { backend.copy(outside, into: staged) }
            let part = Transfer(staged, peer: peer)
            communicator.exchange(sends: toHost ? [] : [part], receives: toHost ? [part] : [])
            if toHost { backend.copy(staged, into: outside) }
          } else if peer == rank {
            let part = Transfer(share.elements(inBytes: bytes), peer: 0)
            communicator.exchange(sends: toHost ? [part] : [], receives: toHost ? [] : [part])
          }
          try communicator.finish()
        }
      }
    }
    try backend.finish()
  }

  private static func pieces(of ranges: [Range<Int>], byteCount: Int) -> [Range<Int>] {
    ranges.flatMap { range in
      stride(from: range.lowerBound, to: range.upperBound, by: byteCount).map {
        $0..<min($0 + byteCount, range.upperBound)
      }
    }
  }
}
