import Foundation
import MGLUCompute
import MGLUTestSupport
import Testing

/// Ranks as processes: started by the program, or by the test in a launcher's place.
@Suite struct RankCommandTests {
  /// Processes with torchrun's variables.
  private final class Ranks {
    let processes: [Process]
    private let files: [URL]

    init(_ count: Int, _ arguments: [String], timeout: Int) throws {
      let port = try RankMeetingPoint().port
      files = (0..<count).map { _ in URL(fileURLWithPath: "/tmp/mglu-\(UUID().uuidString).err") }
      processes = (0..<count).map { _ in Process() }
      for (rank, process) in processes.enumerated() {
        _ = FileManager.default.createFile(atPath: files[rank].path, contents: nil)
        process.executableURL = productFolder.appendingPathComponent("mglu")
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging([
          "RANK": "\(rank)", "WORLD_SIZE": "\(count)", "LOCAL_RANK": "\(rank)",
          "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "\(port)", "MGLU_RANK_TIMEOUT": "\(timeout)",
        ]) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        process.standardError = try FileHandle(forWritingTo: files[rank])
        try process.run()
      }
    }

    deinit { for file in files { try? FileManager.default.removeItem(at: file) } }

    func errors(_ rank: Int) throws -> String {
      String(decoding: try Data(contentsOf: files[rank]), as: UTF8.self)
    }
  }

  /// A run of several seconds, so that there is a middle.
  private func arguments(_ text: String, _ output: String, _ more: [String] = []) -> [String] {
    CommandTests.train(
      text, output,
      ["--gradient-accumulation", "4", "--threads", "1", "--eval-every", "0"] + more
    )
    .filter { !$0.isEmpty }
  }

  private func model(_ folder: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder + "/model.safetensors"))
  }

  @Test func theProgramStartsItsRanks() throws {
    try withText { folder, text in
      for ranks in [1, 2, 4] {
        let result = try mglu(
          arguments(text, "\(folder)/\(ranks)", ["--steps", "6", "--ranks", "\(ranks)", "--json"]))
        #expect(result.status == 0, "\(result.errors)")
        // One of them speaks.
        #expect(try result.json()["steps"] as? Int == 6)
        #expect(result.errors.components(separatedBy: "saved ").count == 2)
        #expect(try model("\(folder)/\(ranks)") == model("\(folder)/1"))
      }
      let many = try mglu(arguments(text, folder + "/many", ["--ranks", "5"]))
      #expect(many.status != 0 && many.errors.contains("--gradient-accumulation 5"))
      // As few files as leave no number for a rank's.
      let few = try mglu(
        arguments(text, folder + "/few", ["--steps", "1", "--ranks", "2"]), openFiles: 11)
      #expect(few.status != 0 && few.errors.contains("ulimit -n"), "\(few.errors)")
    }
  }

  /// Ranks that share the parameters, of a new model and of one in a folder.
  @Test func ranksShareParameters() throws {
    try withText { folder, text in
      func train(_ name: String, _ more: [String]) throws -> String {
        let result = try mglu(arguments(text, "\(folder)/\(name)", ["--steps", "6"] + more))
        #expect(result.status == 0, "\(result.errors)")
        return result.errors
      }
      let alone = try train("1", ["--shard"])
      #expect(alone.contains("--shard: one process has the whole model"))
      let shared = try train("3", ["--ranks", "3", "--shard", "--save-every", "2"])
      #expect(shared.contains("3 ranks over TCP, sharing the parameters"))
      #expect(try model(folder + "/3") == model(folder + "/1"))
    }
    try withText { folder, text in
      let all = ["--gradient-accumulation", "2", "--threads", "1", "--steps", "3"]
      _ = try mglu(CommandTests.train(text, folder + "/first", all).filter { !$0.isEmpty })
      for (name, more) in [("a", []), ("b", ["--ranks", "2", "--shard"])] {
        let result = try mglu(
          ["train", "--data", text, "--init", folder + "/first", "--output", "\(folder)/\(name)"]
            + all + more)
        #expect(result.status == 0, "\(result.errors)")
      }
      #expect(try model(folder + "/a") == model(folder + "/b"))
    }
    let bench = try mglu([
      "bench", "train", "--units", "swimglu:2", "--batch-size", "1", "--steps", "1", "--threads",
      "1", "--ranks", "2", "--shard", "--json",
    ])
    #expect(bench.status == 0, "\(bench.errors)")
    #expect(try bench.json()["shard"] as? Bool == true)
  }

  /// Ctrl-C saves, once, and the run goes on with another number of ranks.
  @Test func aSignalReachesEveryRank() throws {
    try withText { folder, text in
      let run = folder + "/run"
      let all = arguments(text, run, ["--steps", "40", "--save-every", "3"])
      let interrupted = try mglu(
        all + ["--ranks", "3"], killOnce: { holds(run, "checkpoint-000003") }, with: SIGTERM)
      #expect(interrupted.status == 143, "\(interrupted.errors)")
      #expect(interrupted.errors.contains("go on with --resume"))
      // The launcher answers at once, and for all.
      #expect(interrupted.errors.components(separatedBy: "stopping after").count == 2)
      #expect(try mglu(all + ["--ranks", "2", "--resume"]).status == 0)
      #expect(
        try mglu(arguments(text, folder + "/one", ["--steps", "40", "--save-every", "0"])).status
          == 0)
      #expect(try model(run) == model(folder + "/one"))
    }
  }

  /// A killed rank, whichever it is, is named by every other, all end, and the run goes on with other
  /// ranks to the bytes of one that was not disturbed.
  @Test(arguments: [0, 2]) func aKilledRankIsNamed(lost: Int) throws {
    try withText { folder, text in
      let run = folder + "/run"
      let all = arguments(text, run, ["--steps", "30", "--save-every", "4"])
      let ranks = try Ranks(3, all, timeout: 50)
      while ranks.processes[0].isRunning, !holds(run, "checkpoint-000008") { usleep(2000) }
      let pid = ranks.processes[lost].processIdentifier
      kill(pid, SIGKILL)
      for process in ranks.processes { process.waitUntilExit() }
      for rank in 0..<3 where rank != lost {
        #expect(ranks.processes[rank].terminationStatus == 1)
        let errors = try ranks.errors(rank)
        #expect(errors.contains("rank \(rank): rank \(lost) ("), "\(errors)")
        #expect(errors.contains("process \(pid)) has ended"), "\(errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: run + "/config.json"))
      #expect(try mglu(all + ["--ranks", "2", "--resume"]).status == 0)
      #expect(
        try mglu(arguments(text, folder + "/one", ["--steps", "30", "--save-every", "0"])).status
          == 0)
      #expect(try model(run) == model(folder + "/one"))
    }
  }

  @Test(arguments: [0, 1]) func aStoppedRankIsNamed(lost: Int) throws {
    try withText { folder, text in
      let run = folder + "/run"
      let ranks = try Ranks(
        3, arguments(text, run, ["--steps", "100000", "--save-every", "4"]), timeout: 6)
      while ranks.processes[0].isRunning, !holds(run, "checkpoint-000008") { usleep(2000) }
      kill(ranks.processes[lost].processIdentifier, SIGSTOP)
      defer {
        kill(ranks.processes[lost].processIdentifier, SIGKILL)
        ranks.processes[lost].waitUntilExit()
      }
      let start = ContinuousClock.now
      for rank in 0..<3 where rank != lost {
        ranks.processes[rank].waitUntilExit()
        #expect(ranks.processes[rank].terminationStatus == 1)
        let errors = try ranks.errors(rank)
        #expect(errors.contains("rank \(rank): rank \(lost) ("), "\(errors)")
        #expect(errors.contains("has not answered for 6"), "\(errors)")
      }
      #expect(ContinuousClock.now - start < .seconds(40))
      #expect(holds(run, "checkpoint-000008"))
    }
  }
}
