import Foundation
import MGLUTestSupport
import Testing

@Suite struct CommandTests {
  static let small = [
    "--ffn", "swimglu", "--masks", "2", "--layers", "2", "--hidden-size", "32", "--heads", "2",
    "--intermediate-size", "48", "--threads", "2", "--batch-size", "4", "--eval-tokens", "1000",
    "--warmup-steps", "5",
  ]

  static func train(_ text: String, _ output: String, _ more: [String] = []) -> [String] {
    ["train", "--data", text, "--output", output] + small + more
  }

  /// Data that another process cuts off ends the run with an error, in place of a signal.
  @Test func dataThatIsTruncatedIsAnError() throws {
    try withTemporaryFolder { folder in
      let shard = URL(fileURLWithPath: folder + "/x.bin")
      try Data((0..<1_000_000).map { UInt8($0 % 2 == 0 ? $0 % 251 : 0) }).write(to: shard)
      let run = folder + "/run"
      let result = try mglu(
        Self.train(shard.path, run, ["--steps", "1000000"]),
        killOnce: {
          guard (try? Data(contentsOf: URL(fileURLWithPath: run + "/metrics.jsonl")).count) ?? 0 > 0
          else { return false }
          return (try? FileHandle(forWritingTo: shard).truncate(atOffset: 0)) != nil
        }, with: 0)
      #expect(result.status == 1, "\(result)")
      #expect(result.errors.contains("x.bin: the file became shorter"), "\(result.errors)")
    }
  }

  @Test func aModelIsTrainedEvaluatedInspectedConvertedAndRun() throws {
    try withText { folder, text in
      let run = folder + "/run"
      let trained = try mglu(Self.train(text, run, ["--steps", "30", "--json"]))
      #expect(trained.status == 0)
      let summary = try trained.json()
      #expect(
        Set(summary.keys) == [
          "steps", "train_loss", "validation_loss", "validation_perplexity", "bits_per_byte",
          "tokens_per_second", "seconds",
        ])
      #expect(summary["steps"] as? Int == 30)

      let evaluate = ["evaluate", "--data", text, "--json"]
      let own = try mglu(evaluate + ["--model", run]).json()
      // One thread each: another number of them may add up in another order.
      let single = evaluate + ["--model", run, "--threads", "1"]
      let (one, two) = (try mglu(single).json(), try mglu(single + ["--ranks", "2"]).json())
      #expect(one["loss"] as? Double == two["loss"] as? Double)
      #expect(Set(own.keys) == ["loss", "perplexity", "bits_per_byte", "tokens"])
      let converted = try mglu(
        ["convert", "--model", run, "--to", "llama", "--output", folder + "/llama"])
      #expect(converted.status == 0)
      let llama = try mglu(evaluate + ["--model", folder + "/llama"]).json()
      let losses = try [own, llama].map { try #require($0["loss"] as? Double) }
      #expect(abs(losses[0] - losses[1]) < 1e-5)

      let inspected = try mglu(["inspect", "--model", run, "--json"]).json()
      let layers = try #require(inspected["layers"] as? [[String: [Double]]])
      #expect(layers.count == 2 && layers.allSatisfy { $0["gate_share"]?.count == 2 })

      let generate = ["generate", "--model", run, "--prompt", "Line", "--max-tokens", "20"]
      let (written, document) = (try mglu(generate), try mglu(generate + ["--json"]))
      #expect(written.status == 0)
      // The same seed chooses the same tokens, and nothing but text is on standard output.
      let continuation = try #require(document.json()["text"] as? String)
      let count = try #require(document.json()["tokens"] as? Int)
      #expect((1...20).contains(count) && !continuation.isEmpty)
      #expect(written.output == "Line" + continuation + "\n")
    }
  }

  /// Killed without a warning, before the first checkpoint too, and resumed.
  @Test func killedRunsEndWithTheBytesOfWholeOnes() throws {
    try withText { folder, text in
      let settings = ["--steps", "300", "--save-every", "40", "--eval-every", "0"]
      #expect(try mglu(Self.train(text, folder + "/whole", settings)).status == 0)
      let expected = try Data(contentsOf: URL(fileURLWithPath: folder + "/whole/model.safetensors"))
      let path = folder + "/killed"
      for reached in ["metrics.jsonl", "checkpoint-000040", "checkpoint-000120"] {
        let killed = try mglu(
          Self.train(text, path, settings + ["--resume"]), killOnce: { holds(path, reached) })
        #expect(killed.status == SIGKILL, "killed at \(reached)")
      }
      #expect(try mglu(Self.train(text, path, settings + ["--resume"])).status == 0)
      #expect(
        try Data(contentsOf: URL(fileURLWithPath: path + "/model.safetensors")) == expected)
      let refused = try mglu(Self.train(text, path, settings))
      #expect(refused.status != 0 && refused.errors.contains("--resume"))
    }
  }

  @Test func interruptedRunsSaveAndExitWith130() throws {
    try withText { folder, text in
      let run = Self.train(
        text, folder + "/run", ["--steps", "1000000", "--save-every", "0", "--eval-every", "0"])
      let metrics = folder + "/run/metrics.jsonl"
      let result = try mglu(
        run,
        killOnce: {
          (try? String(contentsOfFile: metrics, encoding: .utf8))?.contains("loss") == true
        },
        with: SIGINT)
      #expect(result.status == 130 && result.errors.contains("--resume"))
      let files = try FileManager.default.contentsOfDirectory(atPath: folder + "/run")
      #expect(files.contains { $0.hasPrefix("checkpoint-") })
    }
  }

  /// The limit is above the text's copy and the tokenizer, below the model's file.
  @Test func aFullDiskIsOneClearLineAndNothingHalfWritten() throws {
    try withText { folder, text in
      let run = folder + "/run"
      let result = try mglu(
        Self.train(text, run, ["--steps", "3", "--save-every", "0"]), fileBlocks: 64)
      #expect(result.status != 0 && result.output.isEmpty)
      #expect(result.errors.contains("model.safetensors: File too large; free some space"))
      let files = FileManager.default.enumerator(atPath: run)?.compactMap { $0 as? String } ?? []
      #expect(files.allSatisfy { !$0.hasSuffix(".safetensors") && !$0.hasSuffix(".tmp") })
    }
  }

  @Test func aFolderThatIsRemovedDuringItsRunIsAnError() throws {
    try withText { folder, text in
      let run = folder + "/run"
      let result = try mglu(
        Self.train(text, run, ["--steps", "1000000", "--save-every", "0", "--eval-every", "0"]),
        killOnce: {
          guard (try? Data(contentsOf: URL(fileURLWithPath: run + "/metrics.jsonl")).count) ?? 0 > 0
          else { return false }
          return (try? FileManager.default.removeItem(atPath: run)) != nil
        }, with: 0)
      #expect(result.status == 1, "\(result)")
      #expect(result.errors.contains("metrics.jsonl: the file was removed"), "\(result.errors)")
    }
  }

  @Test func outputThatCannotBeWrittenIsTold() throws {
    let result = try mglu(["inspect", "--preset", "nano"], output: "/dev/full")
    #expect(result.status == 1 && result.errors.hasPrefix("Error: standard output: "))
  }

  /// What `make release` holds against the tag.
  @Test func theVersionIsASemanticOne() throws {
    let result = try mglu(["--version"])
    #expect(result.status == 0)
    #expect(try /[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.]+)?\n/.wholeMatch(in: result.output) != nil)
  }

  @Test func whatIsThereIsNotReplaced() throws {
    try withText { folder, text in
      let train = ["tokenizer", "train", "--data", text, "--output", folder + "/tokenizer"]
      #expect(try mglu(train + ["--vocabulary-size", "300"]).status == 0)
      let again = try mglu(train)
      #expect(again.status == 1 && again.errors.contains("holds a tokenizer already"))
    }
  }

  @Test(arguments: [
    (["--masks", "0"], "1 to 16"), (["--masks", "17"], "1 to 16"),
    (["--hidden-size", "33"], "not divisible"), (["--ffn", "gelu"], "no masks"),
    (["--router-top-k", "3"], "1 to 2"), (["--steps", "0"], "steps"),
    (["--learning-rate=-1"], "learning rate"), (["--layers", "100000000"], "65536"),
    (["--tokenizer", "/none.json"], "/none.json"),
    (["--data", "/none.txt"], "/none.txt"), (["--valid", "/none.txt"], "/none.txt"),
    (["--threads", "0"], "threads"), (["--context", "100000"], "tokens"),
    (["--config", "/none.json"], "/none.json"),
  ])
  func badInputGetsOneLineAndLeavesNothing(arguments: [String], words: String) throws {
    try withText { folder, text in
      let result = try mglu(Self.train(text, folder + "/run", arguments))
      #expect(result.status != 0 && result.output.isEmpty)
      #expect(result.errors.contains(words), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/run"))
    }
  }

  @Test(arguments: [
    ["inspect"], ["inspect", "--preset", "nano", "--model", "x"], ["train"], ["--nonsense"],
    ["generate", "--model", "/none", "--prompt", "a"], ["tokenizer", "encode"],
    ["tokenizer", "decode", "999"], ["data", "pack", "--data", "/none", "--output", "/tmp/x.bin"],
    ["convert", "--model", "/none", "--to", "onnx", "--output", "x"],
    ["inspect", "--model", "/none", "--layers", "2"], ["bench", "ffn", "--shapes", "x"],
    ["tokenizer", "train", "--data", "/dev/null", "--output", "/tmp/x.json"]
      + ["--vocabulary-size=-9223372036854775808"],
  ])
  func wrongCommandLinesFail(arguments: [String]) throws {
    let result = try mglu(arguments)
    #expect(result.status != 0 && result.output.isEmpty && result.errors.contains("Error"))
  }

  @Test(arguments: [
    "train", "compare", "generate", "evaluate", "logits", "inspect", "convert", "demo", "verify",
    "plan", "devices", "bench ffn", "bench decode", "bench train", "tokenizer train",
    "tokenizer chat", "data pack", "serve",
  ])
  func helpHasExamplesThatFitATerminal(command: String) throws {
    let help = try mglu(command.split(separator: " ").map(String.init) + ["--help"])
    #expect(help.status == 0)
    let lines = help.output.split(separator: "\n", omittingEmptySubsequences: false)
    let examples = lines.drop { !$0.hasPrefix("Example") }.dropFirst().prefix { !$0.isEmpty }
    #expect(!examples.isEmpty && examples.allSatisfy { $0.hasPrefix("  mglu \(command)") })
    // Text is broken at 80 columns: the next word had no room.
    let text = lines.prefix { !$0.hasPrefix("USAGE") }
    for (line, next) in zip(text, text.dropFirst()) where !line.hasPrefix("Example") {
      guard let word = next.split(separator: " ").first, !next.hasPrefix(" ") else { continue }
      #expect(line.isEmpty || line.count <= 80 && line.count + 1 + word.count >= 80, "\(line)")
    }
  }
}
