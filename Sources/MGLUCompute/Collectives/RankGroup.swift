import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The processes that train one model together: each is a rank, rank 0 leads.
///
/// A group carries small messages of the host. A ``Communicator`` over it moves tensors. Every call
/// ends with an error as soon as a rank is lost.
public final class RankGroup: @unchecked Sendable {
  /// Which rank this is, from 0.
  public let rank: Int
  /// How many ranks there are.
  public let size: Int
  /// Where each rank is reached.
  let addresses: [String]
  /// What messages call each rank: its number, machine and process.
  public let names: [String]
  // On rank 0 one for each other rank, elsewhere one, to rank 0.
  private let links: [Int: Socket]
  private let monitor: RankMonitor

  /// Whether this is rank 0.
  public var isLeader: Bool { rank == 0 }

  init(
    rank: Int, addresses: [String], names: [String], links: [Int: Socket], monitor: RankMonitor
  ) {
    self.rank = rank
    size = names.count
    self.addresses = addresses
    self.names = names
    self.links = links
    self.monitor = monitor
  }

  /// Where this rank can be reached by the others: on one machine nobody else can.
  var meetingAddress: String {
    let isOneMachine = Set(addresses).count == 1
    return isOneMachine ? links.values.first?.own.address ?? "0.0.0.0" : "0.0.0.0"
  }

  /// Why the group cannot go on, if it cannot.
  public var failure: CommunicationError? { monitor.failure }

  /// Ends this rank's part in order; the others may go on to their own ends.
  public func leave() { monitor.leave() }

  /// Ends this rank's part with an error, which every other rank then reports.
  ///
  /// - Parameter reason: What went wrong here, in one line.
  public func abandon(_ reason: String) { monitor.report("reports: \(reason)") }

  /// The bytes that each rank gives, by rank, on every rank. All ranks must call it.
  ///
  /// - Parameter own: What this rank gives.
  /// - Throws: ``CommunicationProblem/rankLost``.
  public func allGather(_ own: [UInt8]) throws(CommunicationError) -> [[UInt8]] {
    guard isLeader else {
      try send(own, to: 0)
      var parts: [[UInt8]] = []
      for _ in 0..<size { parts.append(try receive(from: 0)) }
      return parts
    }
    var parts = [own]
    for peer in 1..<size { parts.append(try receive(from: peer)) }
    let all = parts.flatMap { Self.prefixed($0) }
    for peer in 1..<size { try sendAll(all, to: peer) }
    return parts
  }

  /// Whether any rank says yes, on every rank. All ranks must call it.
  ///
  /// - Parameter own: What this rank says.
  /// - Throws: ``CommunicationProblem/rankLost``.
  public func any(_ own: Bool) throws(CommunicationError) -> Bool {
    try allGather([own ? 1 : 0]).contains { $0 == [1] }
  }

  /// The least of the numbers that ranks give, on every rank. All ranks must call it.
  ///
  /// - Parameter own: What this rank gives.
  /// - Throws: ``CommunicationProblem/rankLost``.
  package func least(_ own: Int) throws(CommunicationError) -> Int {
    try allGather(Array("\(own)".utf8)).compactMap { Int(String(decoding: $0, as: UTF8.self)) }
      .min() ?? own
  }

  /// What rank 0 gives, on every rank. All ranks must call it; rank 0 does not wait for the others.
  ///
  /// - Parameter bytes: What rank 0 gives; that of other ranks does not count.
  /// - Throws: ``CommunicationProblem/rankLost``.
  public func broadcast(_ bytes: [UInt8]) throws(CommunicationError) -> [UInt8] {
    guard isLeader else { return try receive(from: 0) }
    for peer in 1..<size { try send(bytes, to: peer) }
    return bytes
  }

  /// The error of a rank whose connection has ended: the monitor soon knows more of it.
  func loss(of peer: Int) -> CommunicationError {
    for _ in 0..<1500 where failure == nil { usleep(2000) }
    return failure
      ?? CommunicationError(.rankLost, "\(names[peer]) has closed its connection")
  }

  // Messages ---------------------------------------------------------------------------------------

  private static func prefixed(_ bytes: [UInt8]) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
  }

  private func send(_ bytes: [UInt8], to peer: Int) throws(CommunicationError) {
    try sendAll(Self.prefixed(bytes), to: peer)
  }

  private func sendAll(_ bytes: [UInt8], to peer: Int) throws(CommunicationError) {
    if let failure { throw failure }
    guard let socket = links[peer] else { throw loss(of: peer) }
    let isWhole = bytes.withUnsafeBytes { buffer in
      socket.writeAll(buffer) { self.failure != nil }
    }
    if !isWhole { throw failure ?? loss(of: peer) }
  }

  private func receive(from peer: Int) throws(CommunicationError) -> [UInt8] {
    let size = try read(8, from: peer).enumerated().reduce(0) {
      $0 | Int($1.element) << (8 * $1.offset)
    }
    // Of small things: what is larger was not sent by a rank.
    guard (0...1 << 32).contains(size) else {
      throw CommunicationError(.transport, "\(names[peer]) sent a message of \(size) bytes")
    }
    return try read(size, from: peer)
  }

  private func read(_ count: Int, from peer: Int) throws(CommunicationError) -> [UInt8] {
    guard let socket = links[peer] else { throw loss(of: peer) }
    var bytes = [UInt8](repeating: 0, count: count)
    let isWhole = bytes.withUnsafeMutableBytes { buffer in
      socket.readAll(buffer) { self.failure != nil }
    }
    if !isWhole { throw failure ?? loss(of: peer) }
    return bytes
  }
}

extension Socket {
  /// Writes everything, unless the other end ends or `isOver` says so before.
  func writeAll(_ buffer: UnsafeRawBufferPointer, isOver: () -> Bool) -> Bool {
    var done = 0
    while done < buffer.count {
      switch write(UnsafeRawBufferPointer(rebasing: buffer[done...])) {
      case .bytes(let count): done += count
      case .ended: return false
      case .notReady:
        _ = Socket.wait([(self, POLLOUT)], milliseconds: 50)
        if isOver() { return false }
      }
    }
    return true
  }

  /// Reads until the buffer is full, unless the other end ends or `isOver` says so before.
  func readAll(_ buffer: UnsafeMutableRawBufferPointer, isOver: () -> Bool) -> Bool {
    var done = 0
    while done < buffer.count {
      switch read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...])) {
      case .bytes(let count): done += count
      case .ended: return false
      case .notReady:
        _ = Socket.wait([(self, POLLIN)], milliseconds: 50)
        if isOver() { return false }
      }
    }
    return true
  }
}
