import CMGLUKernels

/// Named exchanges between the GPUs of one machine by their copy engines: a rank writes what it sends to where
/// another receives it, so that no multiprocessor is taken from the computation.
///
/// Two words for each pair of ranks keep the order, and GPUs wait for them, not the host: the receiver says
/// that its memory may be written, then the sender that it was.
package final class PeerCopies {
  /// A send and where it goes.
  private struct Copy {
    let from, to: UInt64
    let byteCount: Int
  }

  /// What an exchange does on this rank: copies to each receiver, and who sends.
  private struct Plan {
    let copies: [(peer: Int, copies: [Copy])]
    let senders: [Int]
  }

  /// What a rank tells of a tensor that it receives.
  private struct Receive: BitwiseCopyable {
    var peer: Int
    var byteCount: Int
    var offset: Int
    var handle: cmglu_cuda_ipc_handle
  }

  /// Smaller allocations may share their handle with others.
  private static let leastBytes = 2 << 20

  private let group: RankGroup
  private let context: CUDAContext
  // Words at 8 r: rank r may be written to; at 8 r + 4: rank r has written.
  private let words: CUDAMemory
  /// The words of each other rank, where this GPU writes them.
  private let wordsOfPeers: [Int: UInt64]
  private var opened: [[UInt8]: UInt64] = [:]
  /// Exchanges by name; `nil` for those whose memory cannot be reached.
  private var plans: [String: Plan?] = [:]
  private var sent: [UInt32]
  private var received: [UInt32]

  /// Connects the GPUs of all ranks, each of which must call it; `nil` where some cannot reach each other.
  package init?(_ group: RankGroup, on context: CUDAContext) throws(CommunicationError) {
    let own = try? Self.words(on: context)
    let handles = try group.allGather(own?.handle ?? [])
    var addresses: [Int: UInt64] = [:]
    if !handles.contains(where: \.isEmpty) {
      for peer in 0..<group.size where peer != group.rank {
        addresses[peer] = try? Self.open(handles[peer], on: context)
      }
    }
    let isWhole = addresses.count == group.size - 1
    guard try !group.any(!isWhole), let own else { return nil }
    words = own.memory
    wordsOfPeers = addresses
    self.group = group
    self.context = context
    sent = [UInt32](repeating: 0, count: group.size)
    received = sent
  }

  deinit {
    for address in Array(opened.values) + Array(wordsOfPeers.values) { close(address) }
  }

  /// Enqueues an exchange; `false` where it cannot reach its memory and another way must be taken, on every
  /// rank.
  package func exchange(
    sends: [Transfer], receives: [Transfer], named name: String, on stream: CUDAStream
  ) throws(CommunicationError) -> Bool {
    if plans[name] == nil { plans[name] = .some(try plan(sends, receives)) }
    guard case .some(.some(let plan)) = plans[name] else { return false }
    do throws(CUDAError) {
      for peer in plan.senders {
        received[peer] &+= 1
        try stream.write(received[peer], to: word(of: peer, at: 8 * group.rank))
      }
      for (peer, copies) in plan.copies {
        sent[peer] &+= 1
        try stream.wait(until: words.address + UInt64(8 * peer), reaches: sent[peer])
        for copy in copies {
          try stream.copy(from: copy.from, to: copy.to, byteCount: copy.byteCount)
        }
        try stream.write(sent[peer], to: word(of: peer, at: 8 * group.rank + 4))
      }
      for peer in plan.senders {
        try stream.wait(until: words.address + UInt64(8 * peer + 4), reaches: received[peer])
      }
    } catch {
      throw CommunicationError(.transport, error.message, remedy: error.remedy)
    }
    return true
  }

  /// Lets go of all memory of other ranks, once exchanges are done.
  package func forget() {
    for address in opened.values { close(address) }
    opened = [:]
    plans = [:]
  }

  private func word(of peer: Int, at offset: Int) -> UInt64 {
    (wordsOfPeers[peer] ?? 0) + UInt64(offset)
  }

  // Plans ------------------------------------------------------------------------------------------

  /// What each rank says of its receives, put together with what is sent here.
  private func plan(
    _ sends: [Transfer], _ receives: [Transfer]
  ) throws(CommunicationError) -> Plan? {
    let (sends, receives) = (
      sends.filter { $0.tensor.count > 0 }, receives.filter { $0.tensor.count > 0 }
    )
    let told = receives.compactMap { transfer in try? receive(transfer) }
    // The first byte says whether the rest can be reached.
    let isTold: UInt8 = told.count == receives.count ? 1 : 0
    let answers = try group.allGather([isTold] + told.withUnsafeBytes { Array($0) })
    guard !answers.contains(where: { $0.first != 1 }) else { return nil }
    var copies: [(peer: Int, copies: [Copy])] = []
    var isReached = true
    // Each begins with another, so that no rank receives from all at once.
    for step in 1..<group.size {
      let peer = (group.rank + step) % group.size
      let targets = Self.receives(in: answers[peer]).filter { $0.peer == group.rank }
      let own = sends.filter { $0.peer == peer }
      guard own.map(\.tensor.byteCount) == targets.map(\.byteCount) else {
        throw CommunicationError(
          .disagreement,
          "\(group.names[peer]) expects \(targets.map(\.byteCount)) bytes of "
            + "\(group.names[group.rank]), which sends \(own.map(\.tensor.byteCount))")
      }
      var toPeer: [Copy] = []
      for (send, target) in zip(own, targets) {
        guard let base = try? address(of: target.handle, peer: peer) else {
          isReached = false
          continue
        }
        toPeer.append(
          Copy(
            from: send.tensor.deviceAddress, to: base + UInt64(target.offset),
            byteCount: target.byteCount))
      }
      if !toPeer.isEmpty { copies.append((peer, toPeer)) }
    }
    if try group.any(!isReached) { return nil }
    return Plan(copies: copies, senders: Set(receives.map(\.peer)).sorted())
  }

  private func receive(_ transfer: Transfer) throws(CUDAError) -> Receive {
    let tensor = transfer.tensor
    guard tensor.arena.memory.byteCount >= Self.leastBytes else {
      throw CUDAError(.unsupportedDevice, "a small allocation has no handle of its own")
    }
    let base = tensor.arena.deviceAddress
    return Receive(
      peer: transfer.peer, byteCount: tensor.byteCount, offset: Int(tensor.deviceAddress - base),
      handle: try Self.handle(of: base, on: context))
  }

  private static func receives(in answer: [UInt8]) -> [Receive] {
    answer.dropFirst().withUnsafeBytes { bytes in
      (0..<bytes.count / MemoryLayout<Receive>.stride).map { index in
        bytes.loadUnaligned(
          fromByteOffset: index * MemoryLayout<Receive>.stride, as: Receive.self)
      }
    }
  }

  /// Where memory of another rank lies for this one.
  private func address(
    of handle: cmglu_cuda_ipc_handle, peer: Int
  ) throws(CUDAError) -> UInt64 {
    let bytes = withUnsafeBytes(of: handle) { Array($0) }
    let key = bytes + [UInt8(truncatingIfNeeded: peer), UInt8(truncatingIfNeeded: peer >> 8)]
    if let known = opened[key] { return known }
    let address = try Self.open(bytes, on: context)
    opened[key] = address
    return address
  }

  // Handles ----------------------------------------------------------------------------------------

  private static func words(
    on context: CUDAContext
  ) throws(CUDAError) -> (memory: CUDAMemory, handle: [UInt8]) {
    let memory = CUDAMemory(try DeviceBuffer(byteCount: leastBytes, on: context))
    let stream = try CUDAStream(on: context)
    try stream.fill(memory.address, byteCount: leastBytes, with: 0)
    try stream.synchronize()
    let handle = try handle(of: memory.address, on: context)
    return (memory, withUnsafeBytes(of: handle) { Array($0) })
  }

  private static func handle(
    of base: UInt64, on context: CUDAContext
  ) throws(CUDAError) -> cmglu_cuda_ipc_handle {
    var handle = cmglu_cuda_ipc_handle()
    try context.driver.check(
      context.current().cuIpcGetMemHandle(&handle, base), "cuIpcGetMemHandle")
    return handle
  }

  private static func open(
    _ bytes: [UInt8], on context: CUDAContext
  ) throws(CUDAError) -> UInt64 {
    var handle = cmglu_cuda_ipc_handle()
    withUnsafeMutableBytes(of: &handle) { $0.copyBytes(from: bytes.prefix($0.count)) }
    var address: UInt64 = 0
    // CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS.
    try context.driver.check(
      context.current().cuIpcOpenMemHandle(&address, handle, 1), "cuIpcOpenMemHandle")
    return address
  }

  private func close(_ address: UInt64) {
    guard (try? context.makeCurrent()) != nil else { return }
    _ = context.driver.functions.cuIpcCloseMemHandle(address)
  }
}
