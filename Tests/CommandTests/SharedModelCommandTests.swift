import Foundation
import Testing

/// One model in several processes, of which the first is the command.
@Suite struct SharedModelCommandTests {
  /// Four heads, of which two go together, and 160 columns.
  static let shape = ["--hidden-size", "64", "--heads", "4", "--intermediate-size", "160"]

  @Test func textsDoNotDependOnRanks() throws {
    try withText { folder, text in
      let run = folder + "/run"
      let trained = try mglu(CommandTests.train(text, run, ["--steps", "60"] + Self.shape))
      #expect(trained.status == 0, "\(trained.errors)")
      // Float32, so that sums in another order do not matter to a text of the most probable tokens.
      let options = ["--model", run, "--threads", "2", "--input-precision", "fp32"]
      func texts(_ ranks: [String]) throws -> [CommandResult] {
        let more = options + ranks
        let texts = [
          try mglu(
            ["generate", "--prompt", "Line 7 of", "--temperature", "0", "--max-tokens", "80"] + more
          ),
          try mglu(
            ["generate", "--temperature", "0", "--max-tokens", "20", "--json"] + more,
            input: "Line 1"),
          try mglu(
            ["chat", "--temperature", "0", "--max-tokens", "20"] + more, input: "Line\n/new\nof\n"),
          try mglu(["logits", "--ids", "1,2,3", "--top", "1"] + more),
        ]
        for result in texts { #expect(result.status == 0, "\(result.errors)") }
        return texts
      }
      let (one, two) = (try texts([]), try texts(["--ranks", "2"]))
      #expect(one[0].output == two[0].output && one[0].output.count > 60)
      let documents = try [one, two].map { try $0[1].json()["text"] as? String }
      #expect(documents[0] != nil && documents[0] == documents[1])
      #expect(one[2].output == two[2].output)
      #expect(one[3].output == two[3].output)
      // One of them speaks.
      #expect(one[2].errors == two[2].errors)

      let timed = try mglu(
        ["bench", "decode", "--prompt", "16", "--generate", "8", "--repetitions", "1"] + options
          + ["--ranks", "2", "--json"])
      #expect(timed.status == 0, "\(timed.errors)")
      #expect((try timed.json()["results"] as? [Any])?.count == 2)
    }
  }

  @Test func whatCannotBeSharedIsAnError() throws {
    try withText { folder, text in
      let run = folder + "/run"
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "1"] + Self.shape)).status == 0)
      for (arguments, expected) in [
        (["--model", run, "--ranks", "3"], "3 ranks for 4 key-value heads"),
        (["--model", folder + "/none", "--ranks", "2"], "no such file or folder"),
        (["--model", run, "--ranks", "0"], "--ranks 0: expected 1 to 1024"),
        (["--model", run, "--ranks", "2", "--device", "cuda"], "--device cuda:0,1"),
        (["--model", run, "--device", "cuda:0,0"], "another GPU"),
        (["--model", run, "--device", "cpu,cpu"], "another GPU"),
        (["--model", run, "--device", "cuda:0,gpu"], "\"gpu\" is no device"),
      ] {
        let result = try mglu(["generate", "--prompt", "Line"] + arguments)
        #expect(result.status != 0 && result.output.isEmpty)
        // Once, and by one process.
        #expect(result.errors.contains(expected), "\(result.errors)")
        #expect(result.errors.components(separatedBy: "Error: ").count == 2, "\(result.errors)")
      }
      let both = try mglu(["serve", "--model", run, "--ranks", "2", "--replicas", "2"])
      #expect(both.status != 0 && both.errors.contains("--replicas are copies"))
    }
  }
}
