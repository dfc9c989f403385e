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
  private static let wasRequested = Atomic(false)

  /// Whether the run was asked to stop.
  static var isRequested: Bool { wasRequested.load(ordering: .relaxed) }

  /// The exit status of a process that Ctrl-C ended.
  static let exitStatus: Int32 = 130

  /// Ends the process with the status of one that a signal ended.
  static func endProcess(after signal: Int32) -> Never { exit(128 + signal) }

  /// Listens from now on.
  static func listen() {
    // Touched before the handler may run: making it there would not be safe.
    wasRequested.store(false, ordering: .relaxed)
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interrupt.wasRequested.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }
}
