import MGLUModel

/// The device of a benchmark: it times calls and measures its memory's read bandwidth.
package final class BenchmarkTarget {
  /// The backend that computes.
  package let backend: any InferenceBackend
  private let traits: BenchmarkTraits
  private let probe: Tensor?

  /// A target on a backend.
  package init(_ backend: any InferenceBackend) throws(BackendError) {
    self.backend = backend
    traits = backend.benchmarkTraits
    probe = traits.probeByteCount.map { bytes in backend.allocate { $0.tensor([bytes], .uint8) } }
    try backend.finish()
  }

  /// Bytes that its last cache certainly does not hold.
  package var coldByteCount: Int { traits.coldByteCount }

  /// The same values in memory of their own: a backend may pack a matrix where it lies.
  package func copied(_ matrix: StoredMatrix) -> StoredMatrix {
    let host = backend.host
    let copy = host.allocate { layout in
      StoredMatrix(
        weights: layout.tensor(matrix.weights.shape, matrix.weights.dataType),
        scales: matrix.scales.map { layout.tensor($0.shape, $0.dataType) })
    }
    host.copy(matrix.weights, into: copy.weights)
    if let scales = matrix.scales, let target = copy.scales { host.copy(scales, into: target) }
    return copy
  }

  /// What times reading: in every round another of `groups`, or the same probe.
  package func reading(of groups: [[Tensor]]) throws(BackendError) -> Reading {
    let groups = probe.map { [[$0]] } ?? groups
    return Reading(
      byteCount: groups[0].reduce(0) { $0 + $1.byteCount },
      microseconds: try timer { [backend] round in backend.read(groups[round % groups.count]) })
  }

  /// What times `body`, which is called with rising numbers: a function from the number of a round
  /// to the microseconds that a call took in it.
  package func timer(
    of body: @escaping (Int) -> Void
  ) throws(BackendError) -> (_ round: Int) throws -> Double {
    let calls = traits.callsPerRound
    if calls == 1 {
      return { [backend] round in try backend.time { body(round) } / .microseconds(1) }
    }
    let sequence = backend.capture { for call in 0..<calls { body(call) } }
    try backend.finish()
    return { [backend] _ in try backend.time(sequence) / .microseconds(1) / Double(calls) }
  }
}

/// How long it takes to read bytes that are in no cache.
package struct Reading {
  /// The bytes of a round.
  package let byteCount: Int
  /// The microseconds of a round.
  package let microseconds: (_ round: Int) throws -> Double
}
