#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How long ranks wait for each other.
public struct RankPatience: Sendable {
  /// For all to come to the meeting point.
  public var meeting: Duration
  /// For a sign of life, after which a rank counts as lost.
  public var silence: Duration
  /// Until a rank that waits for others to come says so.
  public var notice: Duration

  /// Two minutes to meet, and 30 s of silence; `MGLU_RANK_TIMEOUT` is the seconds of both.
  public static var standard: RankPatience {
    let seconds = Environment.value("MGLU_RANK_TIMEOUT").flatMap(Double.init)
    guard let seconds, seconds > 0, seconds < 1e6 else {
      return RankPatience(meeting: .seconds(120), silence: .seconds(30))
    }
    return RankPatience(meeting: .seconds(seconds), silence: .seconds(seconds))
  }

  /// Patience.
  ///
  /// - Parameters:
  ///   - meeting: How long all have to come to the meeting point.
  ///   - silence: After which a rank counts as lost.
  ///   - notice: After which a rank that waits for others to come says so.
  public init(meeting: Duration, silence: Duration, notice: Duration = .seconds(5)) {
    self.meeting = meeting
    self.silence = silence
    self.notice = notice
  }
}

extension RankGroup {
  /// Each rank makes two connections to rank 0: for messages, and for signs of life.
  private enum Purpose: UInt8, CaseIterable {
    case messages = 1
    case life = 2
  }

  private static let magic = Array("MGLURNK1".utf8)

  /// Meets the other ranks of a launch.
  ///
  /// - Parameters:
  ///   - launch: Which rank this is, and where the ranks meet.
  ///   - patience: How long ranks wait for each other.
  ///   - listener: A descriptor that listens at the meeting point already, on rank 0.
  ///   - launcher: The end of a pipe whose other end the process has that started the ranks: when it
  ///     ends, so do they.
  ///   - onWait: Called once with a sentence that says for whom this rank waits, where that takes longer
  ///     than `patience.notice`.
  ///   - onFailure: Called once, on another thread, when a rank is lost. Without it the next call of
  ///     the group throws.
  /// - Throws: ``CommunicationProblem/rendezvous`` with the ranks that did not come.
  public static func join(
    _ launch: RankLaunch, patience: RankPatience = .standard, listener: Int32? = nil,
    launcher: Int32? = nil, onWait: ((String) -> Void)? = nil,
    onFailure: (@Sendable (CommunicationError) -> Void)? = nil
  ) throws(CommunicationError) -> RankGroup {
    let start = ContinuousClock.now
    let meeting = Meeting(
      launch: launch, deadline: start + patience.meeting,
      notice: Notice(time: start + patience.notice, say: onWait))
    let met = launch.rank == 0 ? try meeting.lead(listener) : try meeting.follow()
    let monitor = RankMonitor(
      rank: launch.rank, names: met.names,
      sockets: met.life.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
      silence: patience.silence, launcher: launcher, onFailure: onFailure)
    guard monitor.start() else {
      throw CommunicationError(.rendezvous, "the system starts no thread to watch the ranks")
    }
    return RankGroup(
      rank: launch.rank, addresses: met.addresses, names: met.names, links: met.messages,
      monitor: monitor)
  }

  private struct Met {
    var names: [String]
    var addresses: [String]
    var messages: [Int: Socket] = [:]
    var life: [Int: Socket] = [:]
  }

  /// Says once that a rank waits, when it has waited for long.
  private final class Notice {
    private let time: ContinuousClock.Instant
    private var say: ((String) -> Void)?

    init(time: ContinuousClock.Instant, say: ((String) -> Void)?) {
      self.time = time
      self.say = say
    }

    func consider(_ text: @autoclosure () -> String) {
      guard let say, ContinuousClock.now > time else { return }
      self.say = nil
      say(text())
    }
  }

  private struct Meeting {
    let launch: RankLaunch
    let deadline: ContinuousClock.Instant
    let notice: Notice

    var isLate: Bool { ContinuousClock.now > deadline }
    private var place: String { "\(launch.address):\(launch.port)" }

    private var ownName: String {
      var host = [CChar](repeating: 0, count: 256)
      _ = gethostname(&host, 255)
      let text = String(
        decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      return "rank \(launch.rank) (\(text), process \(getpid()))"
    }

    /// Rank 0: waits for every other, and tells each where all are.
    func lead(_ listener: Int32?) throws(CommunicationError) -> Met {
      let socket: Socket
      if let listener {
        socket = Socket(listener)
      } else {
        socket = try listening()
      }
      var met = Met(
        names: (0..<launch.size).map { "rank \($0)" },
        addresses: [String](repeating: launch.address, count: launch.size))
      met.names[0] = ownName
      while met.messages.count + met.life.count < 2 * (launch.size - 1) {
        if isLate { throw absence(met) }
        notice.consider("rank 0 waits at \(place) for \(absent(met))")
        guard Socket.wait([(socket, POLLIN)], milliseconds: 50)[0], let other = socket.accepted()
        else { continue }
        try greet(other, &met)
      }
      let text = zip(met.names, met.addresses).map { "\($0)\n\($1)" }.joined(separator: "\n")
      for (_, other) in met.messages { _ = write(Array(text.utf8), to: other) }
      return met
    }

    private func listening() throws(CommunicationError) -> Socket {
      // Behind an address translator the name of this machine is no address that it has.
      if case .success(let socket) = Socket.listening(on: launch.address, port: launch.port) {
        return socket
      }
      return try Socket.listening(on: "0.0.0.0", port: launch.port).get()
    }

    private func absent(_ met: Met) -> String {
      let absent = (1..<launch.size).filter { met.messages[$0] == nil || met.life[$0] == nil }
      let numbers = absent.prefix(16).map(String.init).joined(separator: ", ")
      return (absent.count == 1 ? "rank " : "ranks ") + numbers
        + "\(absent.count > 16 ? ", ..." : "") of \(launch.size)"
    }

    private func absence(_ met: Met) -> CommunicationError {
      CommunicationError(
        .rendezvous, "\(absent(met)) did not come to \(place)",
        remedy: "see what they report; without them, unset the launcher's variables")
    }

    /// Reads who has connected. What is no rank is sent away.
    private func greet(_ other: Socket, _ met: inout Met) throws(CommunicationError) {
      guard let hello = read(from: other, within: .seconds(2)), hello.starts(with: magic),
        hello.count >= 17, let purpose = Purpose(rawValue: hello[16])
      else { return }
      func number(_ start: Int) -> Int {
        (start..<start + 4).reduce(0) { $0 << 8 | Int(hello[$1]) }
      }
      let (rank, size) = (number(8), number(12))
      guard size == launch.size else {
        throw CommunicationError(
          .rendezvous, "a rank of \(size) came to \(place), where \(launch.size) meet",
          remedy: "give each run a MASTER_PORT of its own")
      }
      let isKnown = purpose == .messages ? met.messages[rank] != nil : met.life[rank] != nil
      guard (1..<size).contains(rank), !isKnown else {
        throw CommunicationError(
          .rendezvous, "two processes are rank \(rank) of \(size)",
          remedy: "give each run a MASTER_PORT of its own")
      }
      if purpose == .messages {
        met.messages[rank] = other
        met.names[rank] = String(decoding: hello[17...], as: UTF8.self)
        let address = other.peer.address
        // Such an address means another machine on each.
        let isLoopback = address.hasPrefix("127.") || address == "::1"
        met.addresses[rank] = isLoopback ? launch.address : address
      } else {
        met.life[rank] = other
      }
    }

    /// Every other rank: finds rank 0, and hears where all are.
    func follow() throws(CommunicationError) -> Met {
      func number(_ value: Int) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
      }
      var sockets: [Socket] = []
      for purpose in Purpose.allCases {
        let socket = try connected()
        let hello =
          magic + number(launch.rank) + number(launch.size) + [purpose.rawValue]
          + Array(ownName.utf8)
        guard write(hello, to: socket) else { throw silence }
        sockets.append(socket)
      }
      let answer = read(from: sockets[0], within: deadline - .now) {
        notice.consider(
          "rank \(launch.rank) has reached rank 0 at \(place) and waits for the others")
      }
      guard let answer else { throw silence }
      let lines = String(decoding: answer, as: UTF8.self)
        .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
      guard lines.count == 2 * launch.size else { throw silence }
      return Met(
        names: (0..<launch.size).map { lines[2 * $0] },
        addresses: (0..<launch.size).map { lines[2 * $0 + 1] }, messages: [0: sockets[0]],
        life: [0: sockets[1]])
    }

    private var silence: CommunicationError {
      CommunicationError(
        .rendezvous, "rank 0 at \(place) has not gathered the \(launch.size) ranks",
        remedy: "see what rank 0 reports")
    }

    private func connected() throws(CommunicationError) -> Socket {
      while !isLate {
        if let socket = Socket.connected(
          to: launch.address, port: launch.port, milliseconds: 2000)
        {
          return socket
        }
        notice.consider("rank \(launch.rank) waits for rank 0 at \(place)")
        usleep(50_000)
      }
      throw CommunicationError(
        .rendezvous, "rank 0 was not reached at \(place)",
        remedy: "check MASTER_ADDR and MASTER_PORT, and that rank 0 was started")
    }

    private func write(_ bytes: [UInt8], to socket: Socket) -> Bool {
      let message = (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
      return message.withUnsafeBytes { socket.writeAll($0) { isLate } }
    }

    private func read(
      from socket: Socket, within time: Duration, _ waiting: () -> Void = {}
    ) -> [UInt8]? {
      let end = ContinuousClock.now + time
      func bytes(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let isWhole = bytes.withUnsafeMutableBytes { buffer in
          socket.readAll(buffer) {
            waiting()
            return ContinuousClock.now > end
          }
        }
        return isWhole ? bytes : nil
      }
      guard let head = bytes(4) else { return nil }
      let count = head.enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
      return count <= 1 << 24 ? bytes(count) : nil
    }
  }
}

/// A port of this machine at which ranks can meet, for the process that starts them.
public struct RankMeetingPoint: Sendable {
  private let socket: Socket

  /// Opens a free port.
  ///
  /// - Throws: ``CommunicationProblem/rendezvous`` where there is none.
  public init() throws(CommunicationError) {
    socket = try Socket.listening(on: "127.0.0.1", port: 0).get()
  }

  /// The port.
  public var port: Int { socket.own.port }
  /// The socket, to be inherited by rank 0.
  public var descriptor: Int32 { socket.descriptor }
}
