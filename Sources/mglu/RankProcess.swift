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
  static func join(_ launch: RankLaunch) throws(CommunicationError) -> RankGroup {
    let inherited = RankLauncher.inherited
    return try RankGroup.join(
      launch, listener: inherited.socket, launcher: inherited.pipe
    ) { failure in
      Output.note("Error: rank \(launch.rank): \(failure)")
      // The rest of the process may wait for the lost rank, on a GPU too.
      _exit(EXIT_FAILURE)
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
