import ArgumentParser
import MGLUTraining

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// This process as one of several ranks: it ends when another is lost, with a line that names it.
enum RankProcess {
  /// Meets the other ranks.
  ///
  /// - Parameters:
  ///   - launch: Which rank this is.
  ///   - listener: The socket at which rank 0 meets the others, where it is open.
  ///   - isSilent: Whether another rank says what is to be said of a loss.
  static func join(
    _ launch: RankLaunch, listener: Int32? = RankLauncher.inherited.socket, isSilent: Bool = false
  ) throws(CommunicationError) -> RankGroup {
    try RankGroup.join(
      launch, listener: listener, launcher: RankLauncher.inherited.pipe,
      onWait: isSilent ? nil : { Output.note("\($0) ...") }
    ) { failure in
      if !isSilent { Output.note("Error: rank \(launch.rank): \(failure)") }
      // The rest of the process may wait for the lost rank, on a GPU too.
      _exit(EXIT_FAILURE)
    }
  }

  /// Runs `body` as one of the ranks that `RankLauncher.lead` has started: rank 0 alone speaks and is
  /// sent signals, and what ends it ends this process.
  static func follow(of command: any ParsableCommand, _ body: (RankGroup) throws -> Void) throws {
    for number in [SIGINT, SIGTERM] { signal(number, SIG_IGN) }
    guard let launch = try RankLaunch.find() else { return }
    let group = try join(launch, isSilent: true)
    do {
      try body(group)
      group.leave()
    } catch {
      // Rank 0 has mostly met with the same, and ends.
      for _ in 0..<100 where group.failure == nil { usleep(20_000) }
      group.abandon("\(Remedies.inFlags(error, of: command))")
      throw ExitCode(EXIT_FAILURE)
    }
  }

  /// Runs `body` as one of the ranks that a launcher has started, or alone where there is none. An error
  /// of this rank ends the others too.
  static func run(
    of command: any ParsableCommand, _ body: (RankLaunch?, RankGroup?) throws -> Void
  ) throws {
    guard let launch = try RankLaunch.find() else { return try body(nil, nil) }
    let group = try join(launch)
    do {
      try body(launch, group)
      group.leave()
    } catch let code as ExitCode {
      group.leave()
      throw code
    } catch {
      let error = Remedies.inFlags(error, of: command)
      if group.failure == nil {
        group.abandon("\(error)")
      } else {
        // The line that names the lost rank is being written, and ends this process.
        sleep(3)
      }
      Output.note("Error: rank \(group.rank): \(error)")
      throw ExitCode(EXIT_FAILURE)
    }
  }
}
