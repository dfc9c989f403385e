import MGLUTraining

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Starts the ranks of `--gpus` and `--ranks`: this program once for each, with torchrun's variables.
/// None of them outlives this process.
struct RankLauncher {
  /// Set in a rank: the end of a pipe that closes with the launcher.
  private static let pipeVariable = "MGLU_LAUNCHER_PIPE"
  /// Set in rank 0: the socket at which ranks meet.
  private static let socketVariable = "MGLU_LAUNCHER_SOCKET"
  // Descriptors of the ranks.
  private static let (pipeDescriptor, socketDescriptor): (Int32, Int32) = (10, 11)
  /// How long ranks have to end by themselves once one has failed.
  private static let grace = Duration.seconds(10)

  /// Whether this process is a rank that such a launcher started.
  static var isRank: Bool { Environment.value(pipeVariable) != nil }

  /// The launcher's pipe and socket in a rank.
  static var inherited: (pipe: Int32?, socket: Int32?) {
    (
      Environment.value(pipeVariable).flatMap(Int32.init),
      Environment.value(socketVariable).flatMap(Int32.init)
    )
  }

  /// Starts `count` ranks, to which signals go, and waits for all; returns the status to exit with.
  static func run(_ count: Int) throws -> Int32 {
    Interrupt.listen()
    let (running, _, socket) = try start(0..<count)
    close(socket)
    return wait(for: running)
  }

  /// Meets as rank 0 of `count` ranks, of which it starts the others. The terminal's signals come to this
  /// process alone.
  static func lead(_ count: Int) throws -> (group: RankGroup, others: [pid_t]) {
    let (running, port, socket) = try start(1..<count)
    let launch = RankLaunch(
      rank: 0, size: count, localRank: 0, localSize: count, address: "127.0.0.1", port: port)
    return (try RankProcess.join(launch, listener: socket), Array(running.keys))
  }

  /// Starts ranks up to the last; they meet at the port, where the socket listens.
  private static func start(
    _ ranks: Range<Int>
  ) throws -> (running: [pid_t: Int], port: Int, socket: Int32) {
    let meeting = try RankMeetingPoint()
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw failure("a pipe", errno) }
    // Away from the numbers that they have in a rank.
    let pipe = try duplicate(ends[0])
    let socket = try duplicate(meeting.descriptor)
    close(ends[0])
    _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
    var running: [pid_t: Int] = [:]
    for rank in ranks {
      do {
        let process = try start(
          rank, of: ranks.upperBound, port: meeting.port, pipe: pipe,
          socket: rank == 0 ? socket : nil)
        running[process] = rank
      } catch {
        end(running)
        throw error
      }
    }
    close(pipe)
    return (running, meeting.port, socket)
  }

  private static func duplicate(_ descriptor: Int32) throws(CommunicationError) -> Int32 {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, max(pipeDescriptor, socketDescriptor) + 1)
    guard copy >= 0 else {
      // The least number is beyond the limit.
      let code = errno == EINVAL ? EMFILE : errno
      throw CommunicationError(
        .launch, "another descriptor of a file failed: \(String(cString: strerror(code)))",
        remedy: "raise the limit of open files (ulimit -n)")
    }
    return copy
  }

  private static func failure(_ what: String, _ code: Int32) -> CommunicationError {
    CommunicationError(.launch, "\(what) failed: \(String(cString: strerror(code)))")
  }

  private static func start(
    _ rank: Int, of count: Int, port: Int, pipe: Int32, socket: Int32?
  ) throws(CommunicationError) -> pid_t {
    var variables = [
      "RANK": "\(rank)", "LOCAL_RANK": "\(rank)", "WORLD_SIZE": "\(count)",
      "LOCAL_WORLD_SIZE": "\(count)", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "\(port)",
      pipeVariable: "\(pipeDescriptor)",
    ]
    if socket != nil { variables[socketVariable] = "\(socketDescriptor)" }
    #if canImport(Darwin)
      var actions: posix_spawn_file_actions_t?
      var attributes: posix_spawnattr_t?
    #else
      var actions = posix_spawn_file_actions_t()
      var attributes = posix_spawnattr_t()
    #endif
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipe, pipeDescriptor)
    if let socket { posix_spawn_file_actions_adddup2(&actions, socket, socketDescriptor) }
    // A group of its own: what the terminal sends comes once, from here.
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    posix_spawnattr_setpgroup(&attributes, 0)
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGTERM] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGDEF))
    var own = environment().filter { entry in
      !variables.keys.contains { entry.hasPrefix($0 + "=") }
    }
    own += variables.map { "\($0)=\($1)" }
    let texts = (own.map { strdup($0) }, CommandLine.arguments.map { strdup($0) })
    defer { for text in texts.0 + texts.1 { free(text) } }
    var process = pid_t()
    let code = posix_spawn(
      &process, executable, &actions, &attributes, texts.1 + [nil], texts.0 + [nil])
    guard code == 0 else { throw failure("starting rank \(rank)", code) }
    return process
  }

  private static var executable: String {
    #if os(Linux)
      "/proc/self/exe"
    #else
      CommandLine.arguments[0]
    #endif
  }

  private static func environment() -> [String] {
    var (entries, next) = ([String](), environ)
    while let entry = next.pointee {
      entries.append(String(cString: entry))
      next += 1
    }
    return entries
  }

  /// Waits for all ranks; those that do not end with the others are ended.
  private static func wait(for ranks: [pid_t: Int]) -> Int32 {
    var running = ranks
    var status: Int32 = 0
    var (isForwarded, deadline): (Bool, ContinuousClock.Instant?) = (false, nil)
    while !running.isEmpty {
      if Interrupt.isRequested, !isForwarded {
        isForwarded = true
        for process in running.keys { kill(process, SIGTERM) }
      }
      var result: Int32 = 0
      let process = waitpid(-1, &result, WNOHANG)
      if process > 0, let rank = running.removeValue(forKey: process) {
        let (code, signal) = ((result >> 8) & 0xff, result & 0x7f)
        if signal != 0 { Output.note("rank \(rank): ended by signal \(signal)") }
        if signal != 0 || code != 0 {
          // Others that end because of it say less.
          // A rank that saved what it had says which signal it got first.
          let hasSaved = isForwarded && [128 + SIGINT, 128 + SIGTERM].contains(code)
          if status == 0 {
            status = signal != 0 ? 128 + signal : hasSaved ? Interrupt.exitStatus : code
          }
          if !hasSaved {
            deadline = deadline ?? .now + grace
          }
        }
        continue
      }
      if let deadline, ContinuousClock.now > deadline {
        for rank in running.values.sorted() {
          Output.note("rank \(rank): did not end, and is ended")
        }
        end(running)
        running = [:]
      }
      usleep(20_000)
    }
    return status
  }

  private static func end(_ running: [pid_t: Int]) {
    for process in running.keys {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
  }
}
