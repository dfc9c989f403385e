import CMGLUKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Moves tensors between GPUs through NCCL, on the stream that a backend is using. Of NCCL it uses sends and
/// receives alone: NCCL's own sums depend on algorithm, protocol and the number of GPUs. Named exchanges
/// between GPUs of one machine that reach each other's memory may be `PeerCopies`.
///
/// No call waits for another rank without looking whether one was lost.
public final class NCCLCommunicator: Communicator {
  public let group: RankGroup
  private let library: NCCL
  private let currentStream: @Sendable () -> CUDAStream
  private var stream: CUDAStream { currentStream() }
  private let handle: UInt
  // Touched by the one thread that drives the backend.
  private nonisolated(unsafe) let peers: PeerCopies?
  private let failure = Mutex<CommunicationError?>(nil)
  private let isAborted = Mutex(false)
  private var communicator: OpaquePointer? { OpaquePointer(bitPattern: handle) }

  /// Connects the GPUs of all ranks, each of which must call it.
  ///
  /// - Parameters:
  ///   - group: The ranks.
  ///   - stream: Says where transfers are enqueued.
  /// - Throws: ``CommunicationProblem/noLibrary`` where there is no NCCL.
  public convenience init(
    _ group: RankGroup, on stream: @escaping @Sendable () -> CUDAStream
  ) throws(CommunicationError) {
    try self.init(group, on: stream, through: NCCL.shared())
  }

  package init(
    _ group: RankGroup, on stream: @escaping @Sendable () -> CUDAStream, through library: NCCL
  ) throws(CommunicationError) {
    let functions = library.functions
    try Self.makeCurrent(stream())
    var id = cmglu_nccl_id()
    if group.isLeader {
      let result = functions.ncclGetUniqueId(&id)
      if result != 0 { throw library.error(result, "ncclGetUniqueId") }
    }
    // Not measured against NCCL's own yet.
    peers =
      Environment.value("MGLU_PEER_COPIES") == "1"
      ? try PeerCopies(group, on: stream().context) : nil
    let bytes = try group.broadcast(withUnsafeBytes(of: id) { Array($0) })
    guard bytes.count == MemoryLayout<cmglu_nccl_id>.size else {
      throw CommunicationError(.transport, "rank 0 sent no id of NCCL's")
    }
    var communicator: OpaquePointer?
    let result = withUnsafePointer(to: functions) { table in
      bytes.withUnsafeBytes { id in
        cmglu_nccl_begin(
          table, &communicator, Int32(group.size), id.baseAddress, Int32(group.rank))
      }
    }
    self.group = group
    self.library = library
    currentStream = stream
    handle = UInt(bitPattern: communicator)
    guard result == CMGLU_NCCL_SUCCESS || result == CMGLU_NCCL_IN_PROGRESS else {
      throw library.error(result, "ncclCommInitRankConfig")
    }
    try settle("ncclCommInitRankConfig")
  }

  deinit { abort() }

  private func abort() {
    guard communicator != nil, (try? stream.context.makeCurrent()) != nil else { return }
    isAborted.withLock { isAborted in
      if !isAborted { _ = library.functions.ncclCommAbort(communicator) }
      isAborted = true
    }
  }

  private static func makeCurrent(_ stream: CUDAStream) throws(CommunicationError) {
    do throws(CUDAError) { try stream.context.makeCurrent() } catch {
      throw CommunicationError(.transport, error.message, remedy: error.remedy)
    }
  }

  /// Waits until NCCL has done what was asked of it on the host: enqueued it, for the most part.
  private func settle(_ call: String) throws(CommunicationError) {
    var polls = 0
    while true {
      var state: Int32 = 0
      let result = library.functions.ncclCommGetAsyncError(communicator, &state)
      if result != 0 { throw library.error(result, "ncclCommGetAsyncError") }
      if state == CMGLU_NCCL_SUCCESS { return }
      if let lost = group.failure { throw lost }
      guard state == CMGLU_NCCL_IN_PROGRESS else { throw library.error(state, call) }
      // A sleep is longer than what it waits for, except where NCCL connects ranks.
      polls += 1
      if polls > 20_000 { usleep(100) }
    }
  }

  public var summary: String { peers == nil ? "NCCL" : "copy engines and NCCL" }

  public func forget() { peers?.forget() }

  public func exchange(sends: [Transfer], receives: [Transfer], named name: String?) {
    guard failure.withLock({ $0 == nil }) else { return }
    do throws(CommunicationError) {
      let stream = stream
      try Self.makeCurrent(stream)
      if let name, let peers,
        try peers.exchange(sends: sends, receives: receives, named: name, on: stream)
      {
        return
      }
      let functions = library.functions
      func check(_ result: Int32, _ call: String) throws(CommunicationError) {
        guard result == CMGLU_NCCL_SUCCESS || result == CMGLU_NCCL_IN_PROGRESS else {
          throw library.error(result, call)
        }
      }
      try check(functions.ncclGroupStart(), "ncclGroupStart")
      for transfer in sends where transfer.tensor.count > 0 {
        try check(
          functions.ncclSend(
            transfer.tensor.deviceAddress, transfer.tensor.byteCount, Int32(CMGLU_NCCL_UINT8),
            Int32(transfer.peer), communicator, stream.handle), "ncclSend")
      }
      for transfer in receives where transfer.tensor.count > 0 {
        try check(
          functions.ncclRecv(
            transfer.tensor.deviceAddress, transfer.tensor.byteCount, Int32(CMGLU_NCCL_UINT8),
            Int32(transfer.peer), communicator, stream.handle), "ncclRecv")
      }
      try check(functions.ncclGroupEnd(), "ncclGroupEnd")
      try settle("ncclGroupEnd")
    } catch {
      failure.withLock { $0 = error }
    }
  }

  public func finish() throws(CommunicationError) {
    if let failure = failure.withLock({ $0 }) { throw group.failure ?? failure }
    do throws(CUDAError) {
      while true {
        if try stream.isDone { return }
        if group.failure != nil { break }
        usleep(20)
      }
    } catch {
      throw CommunicationError(.transport, error.message, remedy: error.remedy)
    }
    // What waits for the lost rank on the GPU would wait forever.
    abort()
    let lost = group.failure ?? CommunicationError(.rankLost, "a rank was lost")
    failure.withLock { $0 = lost }
    throw lost
  }
}
