import MGLUModel

/// The device of a benchmark: it times calls and measures its memory's read bandwidth.
package protocol BenchmarkTarget {
  /// The backend that computes.
  var backend: any InferenceBackend { get }
  /// Bytes that its last cache certainly does not hold.
  var coldByteCount: Int { get }
  /// The same values in memory of their own, where units view the matrices they are made from.
  func copied(_ matrix: StoredMatrix) -> StoredMatrix
  /// What times reading: in every round another of `groups`, or memory like it.
  func reading(of groups: [[Tensor]]) throws(BackendError) -> Reading
  /// What times `body`, which is called with rising numbers: a function from the number of a round
  /// to the microseconds that a call took in it.
  func timer(
    of body: @escaping (Int) -> Void
  ) throws(BackendError) -> (_ round: Int) throws -> Double
}

/// How long it takes to read bytes that are in no cache.
package struct Reading {
  /// The bytes of a round.
  package let byteCount: Int
  /// The microseconds of a round.
  package let microseconds: (_ round: Int) throws -> Double
}

/// The CPU: a round is a call.
package final class CPUTarget: BenchmarkTarget {
  private let cpu: CPUBackend

  /// A target on the CPU.
  package init(_ cpu: CPUBackend) { self.cpu = cpu }

  package let coldByteCount = 512 << 20
  package var backend: any InferenceBackend { cpu }

  package func copied(_ matrix: StoredMatrix) -> StoredMatrix {
    let (_, copy) = cpu.allocate { layout in
      StoredMatrix(
        weights: layout.tensor(matrix.weights.shape, matrix.weights.dataType),
        scales: matrix.scales.map { layout.tensor($0.shape, $0.dataType) })
    }
    cpu.copy(matrix.weights, into: copy.weights)
    if let scales = matrix.scales, let target = copy.scales { cpu.copy(scales, into: target) }
    return copy
  }

  package func reading(of groups: [[Tensor]]) throws(BackendError) -> Reading {
    let buffers = groups.map { $0.map { UnsafeRawBufferPointer($0.bytes) } }
    return Reading(
      byteCount: buffers[0].reduce(0) { $0 + $1.count },
      microseconds: try timer { [cpu] round in
        _ = cpu.read(buffers[round % buffers.count])
      })
  }

  package func timer(
    of body: @escaping (Int) -> Void
  ) throws(BackendError) -> (_ round: Int) throws -> Double {
    { round in ContinuousClock().measure { body(round) } / .microseconds(1) }
  }
}

/// A GPU: a round is a recorded sequence of calls, timed by events on the GPU.
package final class CUDATarget: BenchmarkTarget {
  private let gpu: CUDABackend
  private let probe: Tensor
  private let sum: Tensor
  private let (start, end): (CUDAEvent, CUDAEvent)

  /// Calls of a round: enough that the launch of a sequence does not count.
  private static let calls = 48

  /// A target on a GPU.
  package init(_ gpu: CUDABackend) throws(BackendError) {
    self.gpu = gpu
    (_, (probe, sum)) = gpu.allocate { ($0.tensor([1 << 30], .uint8), $0.tensor([1], .int32)) }
    try gpu.finish()
    do throws(CUDAError) {
      (start, end) = (try CUDAEvent(on: gpu.context), try CUDAEvent(on: gpu.context))
    } catch { throw BackendError(error) }
  }

  package var coldByteCount: Int { max(8 * gpu.context.device.l2ByteCount, 400 << 20) }
  package var backend: any InferenceBackend { gpu }

  // Units have their weights in an order of their own: each is a copy.
  package func copied(_ matrix: StoredMatrix) -> StoredMatrix { matrix }

  /// Of a probe: a part of a matrix would be too short.
  package func reading(of groups: [[Tensor]]) throws(BackendError) -> Reading {
    Reading(
      byteCount: probe.byteCount,
      microseconds: try timer { [gpu, probe, sum] _ in gpu.read(probe, sum: sum) })
  }

  package func timer(
    of body: @escaping (Int) -> Void
  ) throws(BackendError) -> (_ round: Int) throws -> Double {
    let sequence = gpu.capture { for call in 0..<Self.calls { body(call) } }
    try gpu.finish()
    return { [start, end, gpu] _ in
      try start.record(on: gpu.stream)
      sequence()
      try end.record(on: gpu.stream)
      try gpu.finish()
      return try end.milliseconds(since: start) * 1000 / Double(Self.calls)
    }
  }
}
