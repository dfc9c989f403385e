import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Ctrl-C, and the polite kill: the first asks the run to save and stop, a second one ends the
/// process as usual.
enum Interrupt {
  /// The signal that asked the run to stop, or 0.
  private static let request = Atomic<Int32>(0)

  private static let answers = Atomic(false)
  private static let answer: StaticString =
    "\nstopping after what is under way; once more stops at once\n"

  /// Whether the run was asked to stop.
  static var isRequested: Bool { request.load(ordering: .relaxed) != 0 }

  /// The exit status of a process that was asked to stop: 130 after Ctrl-C, 143 after a kill.
  static var exitStatus: Int32 {
    let signal = request.load(ordering: .relaxed)
    return 128 + (signal == 0 ? SIGINT : signal)
  }

  /// Ends the process with the status of one that a signal ended.
  static func endProcess(after signal: Int32) -> Never { exit(128 + signal) }

  /// Listens from now on. The first signal is answered at once, unless this is a rank that a launcher started,
  /// which answers for all: a step may take minutes.
  static func listen() {
    // Touched before the handler may run: making it there would not be safe.
    request.store(0, ordering: .relaxed)
    answers.store(!RankLauncher.isRank, ordering: .relaxed)
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interrupt.request.store(number, ordering: .relaxed)
        signal(number, SIG_DFL)
        if Interrupt.answers.load(ordering: .relaxed) {
          _ = write(STDERR_FILENO, Interrupt.answer.utf8Start, Interrupt.answer.utf8CodeUnitCount)
        }
      }
    }
  }
}
