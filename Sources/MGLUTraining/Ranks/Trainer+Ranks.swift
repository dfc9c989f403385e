#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

// What ranks tell each other of a run, on the host.
extension Trainer {
  /// Whether any rank says yes; with one rank what it says.
  func isAgreed(_ own: Bool) throws(CommunicationError) -> Bool {
    guard let group = communicator?.group else { return own }
    return try group.any(own)
  }

  /// The step of rank 0.
  func agreedStep(_ own: Int) throws(CommunicationError) -> Int {
    guard let group = communicator?.group else { return own }
    let bytes = try group.broadcast(Array("\(own)".utf8))
    return Int(String(decoding: bytes, as: UTF8.self)) ?? own
  }

  /// The losses of all micro-batches, added up in the order of their numbers. `own` are those of this
  /// rank.
  func sumOfLosses(_ own: [Double]) throws(CommunicationError) -> Double {
    guard let group = communicator?.group else { return own.reduce(0, +) }
    let bytes = own.flatMap { loss in
      withUnsafeBytes(of: loss.bitPattern.littleEndian) { Array($0) }
    }
    let all = try group.allGather(bytes)
    return (0..<configuration.gradientAccumulation).reduce(0) { sum, part in
      let (round, rank) = part.quotientAndRemainder(dividingBy: group.size)
      guard all[rank].count >= 8 * (round + 1) else { return .nan }
      let bits = (0..<8).reduce(UInt64(0)) { $0 | UInt64(all[rank][8 * round + $1]) << (8 * $1) }
      return sum + Double(bitPattern: bits)
    }
  }

  /// Throws where a rank was started with another model, other settings or other data than rank 0.
  func requireAgreement(data: [UInt32]) throws {
    guard let group = communicator?.group else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let settings = String(decoding: try encoder.encode(configuration), as: UTF8.self)
    for (difference, text) in [
      ("another model", "\(model.configuration)"), ("other data", "\(data)"),
      ("other settings", settings), ("another device", model.backend.kernelSet),
      // Checkpoints are gathered from all, though rank 0 writes them.
      ("another kind of output, a folder or none,", "\(output == nil)"),
    ] {
      let all = try group.allGather(Array("\(CRC32C.checksum(Array(text.utf8)))".utf8))
      guard let rank = all.firstIndex(where: { $0 != all[0] }) else { continue }
      throw CommunicationError(
        .disagreement, "\(group.names[rank]) has \(difference) than rank 0",
        remedy: "start every rank with the same program, options and files")
    }
  }

  /// The least of the numbers that ranks have.
  func agreedMinimum(_ own: Int?) throws(CommunicationError) -> Int? {
    guard let group = communicator?.group else { return own }
    let all = try group.allGather(Array((own.map(String.init) ?? "").utf8))
    return all.compactMap { Int(String(decoding: $0, as: UTF8.self)) }.min()
  }

  /// The name of the first parameter, in an order of them, of which an arena holds a number that is not
  /// finite. Each rank looks at its own share, and all at what the others have found.
  func firstNonFinite(in share: ArenaParts, _ order: [Int]) throws -> String? {
    let parameters = model.deviceWeights.named
    let own = optimizer.shares.allBytes(of: optimizer.rank)
    let place = order.firstIndex { index in
      let tensor = parameters[index].tensor
      let bytes = tensor.byteOffset..<tensor.byteOffset + tensor.byteCount
      return own.contains { part in
        let elements = share.elements(ifInBytes: part.clamped(to: bytes))
        return elements.map { !model.backend.onHost($0).isFinite } ?? false
      }
    }
    return try agreedMinimum(place).map { parameters[order[$0]].name }
  }

  /// Lets rank 0 choose algorithms by measuring, where its backend has any to choose, and every rank
  /// take them up: with others it would round sums differently.
  func agreeOnAlgorithms(at step: Int) throws {
    guard let group = communicator?.group, !model.masterParameters.isHostVisible else { return }
    if group.isLeader {
      try windows.draw(seed: configuration.seed, step: step, part: 0, into: activations.batch)
      model.lossAndGradients(activations, into: optimizer.gradients, scale: 1, teacher: teacher)
      try communicator?.finish()
      try model.backend.finish()
    } else {
      model.accompany(isTraining: true)
    }
    let own = group.isLeader ? try JSONEncoder().encode(model.backend.tunedAlgorithms) : Data()
    let bytes = try group.broadcast(Array(own))
    if !group.isLeader {
      model.backend.tunedAlgorithms = try JSONDecoder().decode(
        [String: String].self, from: Data(bytes))
    }
  }
}

extension TrainingConfiguration {
  /// Throws where a step has no micro-batch for some of the ranks.
  func requireMicroBatches(for group: RankGroup) throws(TrainingError) {
    guard gradientAccumulation >= group.size else {
      throw TrainingError(
        .setting,
        "\(group.size) ranks for \(gradientAccumulation) micro-batches of a step: expected at most "
          + "as many", remedy: "use more gradient accumulation, or fewer ranks")
    }
  }
}
