import CMGLUKernels
import MGLUCompute
import MGLUTestSupport
import Synchronization
import Testing

/// An NCCL made of functions of ours: what is passed to it, without a GPU. A communicator is its rank and
/// 256.
private enum FakeNCCL {
  typealias Pointer = UnsafeMutableRawPointer

  struct Move: Equatable {
    var isSend: Bool
    var address: UInt64
    var count: Int
    var type: Int32
    var peer: Int32
  }

  struct State {
    /// What each rank began with.
    var ids: [Int32: [UInt8]] = [:]
    var configurations: [[Int]] = []
    var moves: [Int: [Move]] = [:]
    var aborts: [Int: Int] = [:]
    /// Calls of a rank that are still to be told to be in progress.
    var waits: [Int: Int] = [:]
  }
  static let state = Mutex(State())

  private static func record(_ move: Move, _ comm: OpaquePointer?) -> Int32 {
    state.withLock { $0.moves[Int(bitPattern: comm) - 256, default: []].append(move) }
    return Int32(CMGLU_NCCL_IN_PROGRESS)
  }

  private static let text: @convention(c) (Int32) -> UnsafePointer<CChar>? = { _ in nil }
  private static let last: @convention(c) (OpaquePointer?) -> UnsafePointer<CChar>? = { _ in nil }
  private static let version: @convention(c) (UnsafeMutablePointer<Int32>?) -> Int32 = {
    $0?.pointee = 22_803
    return 0
  }
  private static let uniqueID: @convention(c) (UnsafeMutablePointer<cmglu_nccl_id>?) -> Int32 = {
    $0.map { UnsafeMutableRawBufferPointer(start: $0, count: 128) }?
      .copyBytes(from: (0..<128).map { UInt8($0) })
    return 0
  }
  private static let begin:
    @convention(c) (
      UnsafeMutablePointer<OpaquePointer?>?, Int32, cmglu_nccl_id, Int32,
      UnsafeMutablePointer<cmglu_nccl_config>?
    ) -> Int32 = { comm, ranks, id, rank, config in
      guard let config = config?.pointee else { return 4 }
      state.withLock { state in
        state.ids[rank] = withUnsafeBytes(of: id) { Array($0) }
        state.configurations.append([
          Int(ranks), config.size, Int(config.magic), Int(config.version), Int(config.blocking),
          Int(config.max_ctas),
        ])
        state.waits[Int(rank)] = 3
      }
      comm?.pointee = OpaquePointer(bitPattern: 256 + Int(rank))
      return Int32(CMGLU_NCCL_IN_PROGRESS)
    }
  private static let progress:
    @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?) -> Int32 = { comm, result in
      state.withLock { state in
        let waits = state.waits[Int(bitPattern: comm) - 256] ?? 0
        state.waits[Int(bitPattern: comm) - 256] = max(0, waits - 1)
        result?.pointee = Int32(waits > 0 ? CMGLU_NCCL_IN_PROGRESS : CMGLU_NCCL_SUCCESS)
      }
      return 0
    }
  private static let abort: @convention(c) (OpaquePointer?) -> Int32 = { comm in
    state.withLock { $0.aborts[Int(bitPattern: comm) - 256, default: 0] += 1 }
    return 0
  }
  private static let group: @convention(c) () -> Int32 = { 0 }
  private static let send:
    @convention(c) (UInt64, Int, Int32, Int32, OpaquePointer?, OpaquePointer?) -> Int32 = {
      address, count, type, peer, comm, _ in
      record(
        Move(isSend: true, address: address, count: count, type: type, peer: peer), comm)
    }
  private static let receive:
    @convention(c) (UInt64, Int, Int32, Int32, OpaquePointer?, OpaquePointer?) -> Int32 = {
      address, count, type, peer, comm, _ in
      record(
        Move(isSend: false, address: address, count: count, type: type, peer: peer), comm)
    }

  static let lookup: @convention(c) (Pointer?, UnsafePointer<CChar>?) -> Pointer? = { _, symbol in
    switch symbol.map({ String(cString: $0) }) {
    case "ncclGetErrorString": unsafeBitCast(text, to: Pointer.self)
    case "ncclGetLastError": unsafeBitCast(last, to: Pointer.self)
    case "ncclGetVersion": unsafeBitCast(version, to: Pointer.self)
    case "ncclGetUniqueId": unsafeBitCast(uniqueID, to: Pointer.self)
    case "ncclCommInitRankConfig": unsafeBitCast(begin, to: Pointer.self)
    case "ncclCommGetAsyncError": unsafeBitCast(progress, to: Pointer.self)
    case "ncclCommAbort": unsafeBitCast(abort, to: Pointer.self)
    case "ncclGroupStart", "ncclGroupEnd": unsafeBitCast(group, to: Pointer.self)
    case "ncclSend": unsafeBitCast(send, to: Pointer.self)
    case "ncclRecv": unsafeBitCast(receive, to: Pointer.self)
    default: nil
    }
  }
}

@Suite(.serialized) struct NCCLTests {
  private static func communicator(_ group: RankGroup) throws -> NCCLCommunicator {
    let stream = try CUDAStream(on: FakeDriver.context())
    return try NCCLCommunicator(
      group, on: { stream },
      through: NCCL(path: "fake", lookup: FakeNCCL.lookup))
  }

  @Test func anOldLibraryIsRefused() throws {
    let error = #expect(throws: CommunicationError.self) {
      try NCCL(path: "old", lookup: { _, _ in nil })
    }
    #expect(error?.code == .noLibrary)
    #expect(error?.message.contains("old lacks nccl") == true)
  }

  /// One id for all, by value, and every byte to whom it belongs.
  @Test func callsAreThoseOfEachRank() throws {
    FakeNCCL.state.withLock { $0 = .init() }
    let results = try withRanks(3) { group in
      let communicator = try Self.communicator(group)
      let arena = Arena(try DeviceBuffer(byteCount: 4096, on: FakeDriver.context()))
      let rows = arena.elements(.bfloat16).reshaped([4, 512])
      communicator.allGather([[rows[0..<1]], [rows[1..<3], rows[0..<0]], []])
      try communicator.finish()
    }
    for result in results { try result.get() }
    let state = FakeNCCL.state.withLock { $0 }
    for rank in 0..<3 { #expect(state.ids[Int32(rank)] == (0..<128).map { UInt8($0) }) }
    #expect(
      state.configurations
        == [[Int]](repeating: [3, 48, 0xcafe_beef, 21800, 0, Int(Int32.min)], count: 3))
    func move(_ isSend: Bool, _ row: Int, rows: Int, peer: Int32) -> FakeNCCL.Move {
      FakeNCCL.Move(
        isSend: isSend, address: FakeDriver.address + UInt64(1024 * row), count: 1024 * rows,
        type: Int32(CMGLU_NCCL_UINT8), peer: peer)
    }
    #expect(
      state.moves[0] == [
        move(true, 0, rows: 1, peer: 1), move(true, 0, rows: 1, peer: 2),
        move(false, 1, rows: 2, peer: 1),
      ])
    #expect(
      state.moves[1] == [
        move(true, 1, rows: 2, peer: 0), move(true, 1, rows: 2, peer: 2),
        move(false, 0, rows: 1, peer: 0),
      ])
    #expect(
      state.moves[2] == [move(false, 0, rows: 1, peer: 0), move(false, 1, rows: 2, peer: 1)])
    // Each communicator ends once.
    #expect(state.aborts == [0: 1, 1: 1, 2: 1])
  }

  /// Who waits in NCCL for a rank that was lost stops, and names it.
  @Test func nobodyWaitsForALostRank() throws {
    FakeNCCL.state.withLock { $0 = .init() }
    let results = try withRanks(2) { group in
      let communicator = try Self.communicator(group)
      _ = try group.allGather([])
      guard group.isLeader else { return group.abandon("no more") }
      FakeNCCL.state.withLock { $0.waits[0] = .max }
      communicator.exchange(sends: [], receives: [])
      try communicator.finish()
    }
    let error = #expect(throws: CommunicationError.self) { try results[0].get() }
    #expect(error?.code == .rankLost)
    #expect(error?.message.contains("rank 1 (") == true, "\(error?.message ?? "")")
    #expect(FakeNCCL.state.withLock { $0.aborts[0] } == 1)
  }
}
