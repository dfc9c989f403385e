import MGLUModel

extension LanguageModel {
  /// What passes read of each rank's part of `run`: the narrow copies of what products read where there
  /// are any, and float32 of everything else. An MGLU reads W itself, under its masks.
  func parametersRead(in run: ParameterShares.Run) -> [[Tensor]] {
    let exact = productCopies == nil ? [weights.productBytes] : maskedWeightBytes
    var narrow: [Range<Int>] = []
    if productCopies != nil {
      var end = weights.productBytes.lowerBound
      for bytes in exact {
        narrow.append(end..<bytes.lowerBound)
        end = bytes.upperBound
      }
      narrow.append(end..<weights.productBytes.upperBound)
    }
    let float32 = exact + [weights.logitBytes.lowerBound..<weights.vectorBytes.upperBound]
    return run.bytes.map { share in
      func parts(_ ranges: [Range<Int>]) -> [Range<Int>] {
        ranges.map { share.clamped(to: $0) }.filter { !$0.isEmpty }
      }
      return parts(narrow).compactMap { productCopies(of: $0) }
        + parts(float32).map { masterParameters.floats(inBytes: $0) }
    }
  }

  /// W of every MGLU, in the order of memory.
  private var maskedWeightBytes: [Range<Int>] {
    weights.layers.compactMap(\.unit.masked).map { unit in
      unit.weight.byteOffset..<unit.weight.byteOffset + unit.weight.byteCount
    }.sorted { $0.lowerBound < $1.lowerBound }
  }

  /// Completes the float32 parameters on every rank from the shares of all.
  func gatherMasters(in shares: ParameterShares, through communicator: any Communicator) throws {
    completeParameters()
    communicator.allGather(
      (0..<communicator.group.size).map { rank in
        shares.bytes(of: rank).map { masterParameters.floats(inBytes: $0) }
      })
    try communicator.finish()
  }

  /// Gives every rank the parameters of rank 0.
  func broadcast(through communicator: any Communicator) throws {
    let all = masterParameters.floats
    communicator.allGather(
      (0..<communicator.group.size).map { $0 == 0 ? [all] : [] })
    try communicator.finish()
    roundCopies()
  }
}
