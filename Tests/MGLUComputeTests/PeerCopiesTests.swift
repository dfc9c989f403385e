import CMGLUKernels
import MGLUCompute
import MGLUTestSupport
import Testing

/// Exchanges by copy engines, between ranks that are threads over memory of this process.
@Suite(.serialized) struct PeerCopiesTests {
  /// A rank's memory, which tests write and read as the host's.
  private struct Memory {
    let arena: Arena
    let stream: CUDAStream

    init(_ context: CUDAContext, byteCount: Int) throws {
      arena = Arena(try DeviceBuffer(byteCount: byteCount, on: context))
      stream = try CUDAStream(on: context)
    }

    /// Row `index` of four, each a quarter.
    func row(_ index: Int) -> Tensor {
      let count = arena.byteCount / 16
      return arena.floats.reshaped([4, count])[index..<index + 1].reshaped([count])
    }

    func values(_ tensor: Tensor) -> UnsafeMutableBufferPointer<Float> {
      UnsafeMutableBufferPointer(
        start: UnsafeMutablePointer<Float>(bitPattern: UInt(tensor.deviceAddress)),
        count: tensor.count)
    }
  }

  /// Every rank sends each other its row, many times, with other numbers each time: nobody reads what was
  /// not written yet, and nobody writes what was not read.
  @Test(arguments: [2, 3, 4]) func tensorsMoveInOrder(ranks: Int) throws {
    let results = try withRanks(ranks) { group in
      let context = try HostMemoryDriver.context()
      let peers = try #require(try PeerCopies(group, on: context))
      let memory = try Memory(context, byteCount: 4 << 20)
      let others = (0..<group.size).filter { $0 != group.rank }
      var wrong = 0
      for round in 0..<20 {
        let own = memory.values(memory.row(group.rank))
        own.update(repeating: Float(100 * round + group.rank))
        let isDone = try peers.exchange(
          sends: others.map { Transfer(memory.row(group.rank), peer: $0) },
          receives: others.map { Transfer(memory.row($0), peer: $0) }, named: "rows",
          on: memory.stream)
        #expect(isDone)
        for rank in 0..<group.size {
          let row = memory.values(memory.row(rank))
          wrong += row.count { $0 != Float(100 * round + rank) }
        }
        // One way only, and under another name.
        if group.rank < 2 {
          let part = [Transfer(memory.row(3)[0..<1000], peer: 1 - group.rank)]
          if group.rank == 0 { memory.values(memory.row(3)).update(repeating: Float(round)) }
          _ = try peers.exchange(
            sends: group.rank == 0 ? part : [], receives: group.rank == 1 ? part : [],
            named: "part", on: memory.stream)
          if group.rank == 1 {
            wrong += memory.values(memory.row(3)).prefix(1000).count { $0 != Float(round) }
          }
        } else {
          _ = try peers.exchange(sends: [], receives: [], named: "part", on: memory.stream)
        }
      }
      // What others write to must live until they are done.
      _ = try group.any(false)
      peers.forget()
      return wrong
    }
    for result in results { #expect(try result.get() == 0) }
  }

  /// Memory that may share its handle with other memory is left to NCCL, on every rank.
  @Test func smallMemoryIsLeftToOthers() throws {
    let results = try withRanks(2) { group in
      let context = try HostMemoryDriver.context()
      let peers = try #require(try PeerCopies(group, on: context))
      let memory = try Memory(context, byteCount: group.rank == 1 ? 4096 : 4 << 20)
      let transfer = [Transfer(memory.row(0)[0..<16], peer: 1 - group.rank)]
      return try peers.exchange(
        sends: transfer, receives: transfer, named: "small", on: memory.stream)
    }
    for result in results { #expect(try result.get() == false) }
  }

  @Test func sizesThatDisagreeAreNamed() throws {
    let results = try withRanks(2) { group in
      let context = try HostMemoryDriver.context()
      let peers = try #require(try PeerCopies(group, on: context))
      let memory = try Memory(context, byteCount: 4 << 20)
      let transfer = [Transfer(memory.row(0)[0..<16 + group.rank], peer: 1 - group.rank)]
      _ = try peers.exchange(
        sends: transfer, receives: transfer, named: "rows", on: memory.stream)
    }
    for result in results {
      let error = #expect(throws: CommunicationError.self) { try result.get() }
      #expect(error?.code == .disagreement)
    }
  }

  /// A driver without handles: nobody gets copies.
  @Test func ranksThatCannotReachEachOtherHaveNone() throws {
    let results = try withRanks(2) { group in
      let context =
        group.rank == 0 ? try HostMemoryDriver.context() : try FakeDriver.context()
      return try PeerCopies(group, on: context) == nil
    }
    for result in results { #expect(try result.get()) }
  }
}
