import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Watches the ranks of a group from a thread of its own: every rank says regularly that it lives, to
/// rank 0, and rank 0 to every other. A process that ended has its connection closed; one that hangs,
/// or whose machine is gone, is silent. Rank 0 tells all others which rank was lost.
final class RankMonitor: @unchecked Sendable {
  /// What a message begins with.
  private enum Kind: UInt8 {
    case alive = 1
    case leaving = 2
    /// Then the lost rank in four bytes, the count of a text's bytes in two, and the text.
    case lost = 3
  }

  private struct Peer {
    let rank: Int
    let socket: Socket
    var heard = ContinuousClock.now
    var received: [UInt8] = []
    var hasLeft = false
  }

  private struct State {
    var failure: CommunicationError?
    var isLeaving = false
    var isDone = false
    var report: (rank: Int, text: String)?
  }

  private let rank: Int
  private let names: [String]
  private let silence: Duration
  private let launcher: Int32?
  private let onFailure: (@Sendable (CommunicationError) -> Void)?
  private let state = Mutex(State())
  // Only the thread touches them.
  private var peers: [Peer]

  /// A monitor of the ranks at the other ends of `sockets`.
  ///
  /// - Parameters:
  ///   - rank: The own rank.
  ///   - names: What to call each rank.
  ///   - sockets: By rank: on rank 0 one for each other, elsewhere one, to rank 0.
  ///   - silence: After which a rank counts as lost.
  ///   - launcher: A pipe whose other end the process has that started this one.
  ///   - onFailure: Called once, on the monitor's thread.
  init(
    rank: Int, names: [String], sockets: [(rank: Int, socket: Socket)], silence: Duration,
    launcher: Int32?, onFailure: (@Sendable (CommunicationError) -> Void)?
  ) {
    self.rank = rank
    self.names = names
    self.silence = silence
    self.launcher = launcher
    self.onFailure = onFailure
    peers = sockets.map { Peer(rank: $0.rank, socket: $0.socket) }
  }

  /// Begins to watch; `false` where the system starts no thread.
  func start() -> Bool { SystemThread.start { self.watch() } == 0 }

  /// Why the group cannot go on, if it cannot.
  var failure: CommunicationError? { state.withLock { $0.failure } }

  /// Says that this rank ends in order, so that its silence means nothing.
  func leave() {
    state.withLock { $0.isLeaving = true }
    waitUntilDone()
  }

  /// Tells all others that this rank cannot go on.
  func report(_ text: String) {
    state.withLock { $0.report = (rank, text) }
    waitUntilDone()
  }

  private func waitUntilDone() {
    let deadline = ContinuousClock.now + .seconds(3)
    while !state.withLock({ $0.isDone }), ContinuousClock.now < deadline { usleep(2000) }
  }

  // The thread -----------------------------------------------------------------------------------

  private func watch() {
    let interval = min(silence / 8, .seconds(1))
    var last = ContinuousClock.now - interval
    var woke = ContinuousClock.now
    while true {
      let (isLeaving, report) = state.withLock { ($0.isLeaving, $0.report) }
      if isLeaving {
        for peer in peers { write([Kind.leaving.rawValue], to: peer) }
        return end()
      }
      if let report { return lose(report.rank, report.text, isOwn: true) }
      let now = ContinuousClock.now
      if now - last >= interval {
        last = now
        for peer in peers { write([Kind.alive.rawValue], to: peer) }
      }
      if isLauncherGone { return lose(nil, "the process that started this rank has ended") }
      let present = peers.indices.filter { !peers[$0].hasLeft }
      let ready = Socket.wait(
        present.map { (peers[$0].socket, Int32(POLLIN)) }, milliseconds: 20)
      for (index, isReady) in zip(present, ready) where isReady {
        if let loss = read(index) { return lose(loss.rank, loss.text) }
      }
      let after = ContinuousClock.now
      if after - woke > silence {
        // This process itself was stopped, or the machine slept: what it did not hear says nothing.
        for index in peers.indices { peers[index].heard = after }
      }
      woke = after
      if let silent = peers.first(where: { !$0.hasLeft && after - $0.heard > silence }) {
        let seconds =
          Double(silence.components.seconds)
          + Double(silence.components.attoseconds) * 1e-18
        return lose(silent.rank, "has not answered for \(seconds) s")
      }
    }
  }

  private var isLauncherGone: Bool {
    guard let launcher else { return false }
    var poll = pollfd(descriptor: launcher, events: 0)
    return Self.poll(&poll) > 0 && Int32(poll.revents) & POLLHUP != 0
  }

  private static func poll(_ one: inout pollfd) -> Int32 {
    #if canImport(Glibc)
      Glibc.poll(&one, 1, 0)
    #elseif canImport(Musl)
      Musl.poll(&one, 1, 0)
    #else
      Darwin.poll(&one, 1, 0)
    #endif
  }

  private func write(_ bytes: [UInt8], to peer: Peer) {
    // A full buffer means that the other end does not read: it will be found silent.
    bytes.withUnsafeBytes { _ = peer.socket.write($0) }
  }

  /// Reads what a peer says; what it says of a loss, its own end included, if it does.
  private func read(_ index: Int) -> (rank: Int?, text: String)? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    switch buffer.withUnsafeMutableBytes({ peers[index].socket.read(into: $0) }) {
    case .notReady: return nil
    case .ended: return (peers[index].rank, "has ended")
    case .bytes(let count):
      peers[index].heard = .now
      peers[index].received += buffer.prefix(count)
    }
    while let first = peers[index].received.first {
      let received = peers[index].received
      switch Kind(rawValue: first) {
      case .alive: peers[index].received.removeFirst()
      case .leaving:
        peers[index].hasLeft = true
        return nil
      case .lost:
        guard received.count >= 7 else { return nil }
        let lost = (1...4).reduce(0) { $0 << 8 | Int(received[$1]) }
        let count = Int(received[5]) << 8 | Int(received[6])
        guard received.count >= 7 + count else { return nil }
        return (
          lost == Int(UInt32.max) ? nil : lost,
          String(decoding: received[7..<7 + count], as: UTF8.self)
        )
      case nil: return (peers[index].rank, "does not speak as a rank does")
      }
    }
    return nil
  }

  /// Remembers a loss, tells the others and ends.
  private func lose(_ lost: Int?, _ text: String, isOwn: Bool = false) {
    let number = UInt32(clamping: lost ?? Int(UInt32.max))
    let bytes = Array(text.utf8.prefix(4000))
    let message =
      [Kind.lost.rawValue] + (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
      + [UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes
    for peer in peers where peer.rank != lost && !peer.hasLeft { write(message, to: peer) }
    if !isOwn {
      let name = lost.map { names.indices.contains($0) ? "\(names[$0]) " : "rank \($0) " } ?? ""
      state.withLock { $0.failure = CommunicationError(.rankLost, name + text) }
    }
    // What was written must arrive before the process ends: a connection that is closed with bytes
    // unread takes those on their way with it.
    for peer in peers { peer.socket.finishWriting() }
    let deadline = ContinuousClock.now + .milliseconds(500)
    var open = peers.filter { $0.rank != lost && !$0.hasLeft }.map(\.socket)
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !open.isEmpty, ContinuousClock.now < deadline {
      _ = Socket.wait(open.map { ($0, POLLIN) }, milliseconds: 20)
      open = open.filter { socket in
        if case .ended = buffer.withUnsafeMutableBytes({ socket.read(into: $0) }) { return false }
        return true
      }
    }
    if let failure, !isOwn { onFailure?(failure) }
    end()
  }

  private func end() { state.withLock { $0.isDone = true } }
}
