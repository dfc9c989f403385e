import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Moves tensors of the host's memory over TCP: the transport of the CPU backend, within a machine or
/// between machines. Every pair of ranks has a connection.
public final class SocketCommunicator: Communicator {
  public let group: RankGroup
  private let sockets: [Int: Socket]
  private let failure = Mutex<CommunicationError?>(nil)

  /// Connects every pair of ranks. All ranks must call it.
  ///
  /// - Parameter group: The ranks.
  /// - Throws: ``CommunicationProblem/transport`` where two ranks do not reach each other.
  public init(_ group: RankGroup) throws(CommunicationError) {
    self.group = group
    let listener = try Socket.listening(on: group.meetingAddress, port: 0).get()
    let ports = try group.allGather(Array("\(listener.own.port)".utf8))
    var sockets: [Int: Socket] = [:]
    // Every rank connects to those before it; the system holds connections until they are accepted.
    for peer in 0..<group.rank {
      let port = Int(String(decoding: ports[peer], as: UTF8.self)) ?? 0
      guard
        let socket = Socket.connected(
          to: group.addresses[peer], port: port, milliseconds: 20_000),
        [UInt8(group.rank & 255), UInt8(group.rank >> 8 & 255)].withUnsafeBytes({ bytes in
          socket.writeAll(bytes) { group.failure != nil }
        })
      else {
        throw group.failure
          ?? CommunicationError(
            .transport, "\(group.names[peer]) was not reached at \(group.addresses[peer]):\(port)")
      }
      sockets[peer] = socket
    }
    while sockets.count < group.size - 1 {
      if let failure = group.failure { throw failure }
      guard Socket.wait([(listener, POLLIN)], milliseconds: 50)[0],
        let socket = listener.accepted()
      else { continue }
      var number: [UInt8] = [0, 0]
      let deadline = ContinuousClock.now + .seconds(5)
      let isWhole = number.withUnsafeMutableBytes { buffer in
        socket.readAll(buffer) { ContinuousClock.now > deadline }
      }
      let peer = Int(number[0]) | Int(number[1]) << 8
      guard isWhole, peer > group.rank, peer < group.size, sockets[peer] == nil else { continue }
      sockets[peer] = socket
    }
    self.sockets = sockets
  }

  public var summary: String { "TCP" }

  public func finish() throws(CommunicationError) {
    if let failure = failure.withLock({ $0 }) ?? group.failure { throw failure }
  }

  public func exchange(sends: [Transfer], receives: [Transfer], named name: String?) {
    guard failure.withLock({ $0 == nil }) else { return }
    var flows = (0..<group.size).compactMap { peer in
      sockets[peer].map { Flow(peer: peer, socket: $0, sends: sends, receives: receives) }
    }
    while true {
      flows.removeAll { $0.isDone }
      if flows.isEmpty { return }
      for index in flows.indices where !flows[index].move() {
        let error = group.failure ?? group.loss(of: flows[index].peer)
        return failure.withLock { $0 = error }
      }
      let waiting = flows.filter { !$0.isDone }
      if waiting.isEmpty { return }
      _ = Socket.wait(waiting.map { ($0.socket, $0.events) }, milliseconds: 50)
      if let lost = group.failure { return failure.withLock { $0 = lost } }
    }
  }

  /// What is left to send to one rank, and to receive from it.
  private struct Flow {
    let peer: Int
    let socket: Socket
    var outgoing: ArraySlice<UnsafeRawBufferPointer>
    var incoming: ArraySlice<UnsafeMutableRawBufferPointer>

    init(peer: Int, socket: Socket, sends: [Transfer], receives: [Transfer]) {
      self.peer = peer
      self.socket = socket
      func buffers(_ transfers: [Transfer]) -> [UnsafeMutableRawBufferPointer] {
        transfers.filter { $0.peer == peer && $0.tensor.count > 0 }.map(\.tensor.bytes)
      }
      outgoing = buffers(sends).map { UnsafeRawBufferPointer($0) }[...]
      incoming = buffers(receives)[...]
    }

    var isDone: Bool { outgoing.isEmpty && incoming.isEmpty }
    var events: Int32 {
      Int32(outgoing.isEmpty ? 0 : POLLOUT) | Int32(incoming.isEmpty ? 0 : POLLIN)
    }

    /// Moves what can be moved now; `false` where the other end has ended.
    mutating func move() -> Bool {
      while let buffer = outgoing.first {
        switch socket.write(buffer) {
        case .ended: return false
        case .notReady: break
        case .bytes(let count):
          outgoing[outgoing.startIndex] = UnsafeRawBufferPointer(rebasing: buffer[count...])
          if count == buffer.count { outgoing.removeFirst() }
          continue
        }
        break
      }
      while let buffer = incoming.first {
        switch socket.read(into: buffer) {
        case .ended: return false
        case .notReady: return true
        case .bytes(let count):
          incoming[incoming.startIndex] = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
          if count == buffer.count { incoming.removeFirst() }
        }
      }
      return true
    }
  }
}
