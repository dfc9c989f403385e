import Foundation
import Testing

@Suite struct CompareCommandTests {
  /// A model that a few steps take no time of.
  private static let shape = """
    {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 257,
     "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
     "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 16,
     "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
     "tie_word_embeddings": true}
    """

  private func command(_ folder: String, _ text: String, _ more: [String]) throws -> [String] {
    let config = folder + "/shape.json"
    try Data(Self.shape.utf8).write(to: URL(fileURLWithPath: config))
    return ["compare", "--data", text, "--config", config, "--threads", "2", "--batch-size", "4"]
      + more
  }

  @Test func aComparisonEndsInAReport() throws {
    try withText { folder, text in
      let arguments = try command(
        folder, text,
        [
          "--units", "gelu,swiglu,swimglu:2", "--seeds", "1,2", "--steps", "20",
          "--match-parameters", "--output", folder + "/out",
        ])
      let first = try mglu(arguments)
      #expect(first.status == 0, "\(first.errors)")
      #expect(first.output.contains("SwiMGLU, n_m = 2") && first.output.contains("report.html"))
      let second = try mglu(arguments + ["--json"])
      let json = try second.json()
      #expect((json["runs"] as? [Any])?.count == 6 && (json["summaries"] as? [Any])?.count == 3)
      #expect(!second.errors.contains("validation loss"))
      for name in ["report.html", "report.md", "results.json", "results.csv", "timings.json"] {
        #expect(FileManager.default.fileExists(atPath: "\(folder)/out/\(name)"))
      }
      let other = try mglu(arguments + ["--warmup-steps", "3"])
      #expect(other.status != 0 && other.errors.contains("warm-up steps 3, not 2"))
    }
  }

  /// Steps planned for some minutes are not those of others.
  @Test func otherMinutesAreRefused() throws {
    try withText { folder, text in
      let arguments = try command(
        folder, text, ["--units", "gelu", "--output", folder + "/out", "--minutes"])
      let first = try mglu(arguments + ["0.01"])
      #expect(first.status == 0, "\(first.errors)")
      #expect(try mglu(arguments + ["0.01"]).status == 0)
      let other = try mglu(arguments + ["0.02"])
      #expect(other.status != 0 && other.errors.contains("minutes"), "\(other.errors)")
      #expect(try mglu(arguments + ["1e300"]).status != 0)
    }
  }

  /// Killed without a warning, and interrupted: the same command ends with the same results.
  @Test func killedComparisonsEndWithTheSameResults() throws {
    try withText { folder, text in
      let arguments = try command(
        folder, text,
        ["--units", "swiglu,swimglu:2", "--steps", "400", "--save-every", "50"])
      #expect(try mglu(arguments + ["--output", folder + "/whole"]).status == 0)
      let killed = arguments + ["--output", folder + "/killed"]
      for (reached, signal) in [
        ("metrics.jsonl", SIGKILL), ("checkpoint-000100", SIGKILL), ("checkpoint-000300", SIGINT),
      ] {
        let result = try mglu(
          killed, killOnce: { holds(folder + "/killed", reached) }, with: signal)
        #expect(result.status == (signal == SIGINT ? 130 : signal), "\(signal) at \(reached)")
      }
      #expect(try mglu(killed).status == 0)
      let results = try ["whole", "killed"].map {
        try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)/results.json"))
      }
      #expect(results[0] == results[1])
    }
  }

  /// Several processes do runs side by side, each what no other is at, and may be stopped: the results are
  /// those of one process.
  @Test func runsSideBySideHaveTheSameResults() throws {
    try withText { folder, text in
      let arguments = try command(
        folder, text,
        [
          "--units", "gelu,swiglu,swimglu:2", "--seeds", "1,2", "--steps", "120",
          "--save-every", "30",
        ])
      #expect(try mglu(arguments + ["--output", folder + "/one"]).status == 0)
      let several = arguments + ["--output", folder + "/several", "--ranks"]
      let stopped = try mglu(
        several + ["3"], killOnce: { holds(folder + "/several", "checkpoint-000060") },
        with: SIGINT)
      #expect(stopped.status == 130, "\(stopped.errors)")
      let ended = try mglu(several + ["2"])
      #expect(ended.status == 0 && ended.output.contains("report.html"), "\(ended.errors)")
      let results = try ["one", "several"].map {
        try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)/results.json"))
      }
      #expect(results[0] == results[1])
    }
  }

  /// The steps that a first call found are those of every later call, whatever the clock says then;
  /// the results are those of a plain comparison of so many steps.
  @Test func stepsFromMinutesAreKept() throws {
    try withText { folder, text in
      let arguments = try command(
        folder, text, ["--units", "gelu,swimglu:2", "--save-every", "20"])
      let timed = arguments + ["--output", folder + "/timed", "--minutes"]
      let conditions = folder + "/timed/comparison.json"
      func recordedSteps() throws -> Int {
        let data = try Data(contentsOf: URL(fileURLWithPath: conditions))
        let found = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        return try #require(found?["steps"] as? Int)
      }
      // Killed once it has said how many steps.
      _ = try mglu(
        timed + ["0.05"], killOnce: { FileManager.default.fileExists(atPath: conditions) })
      let steps = try recordedSteps()
      for _ in 0..<2 {
        let result = try mglu(timed + ["0.05", "--json"])
        #expect(result.status == 0, "\(result.errors)")
        #expect(try result.json()["steps"] as? Int == steps)
        #expect(try recordedSteps() == steps)
      }
      let plain = ["--output", folder + "/plain", "--steps", "\(steps)"]
      #expect(try mglu(arguments + plain).status == 0)
      let results = try ["timed", "plain"].map {
        try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)/results.json"))
      }
      #expect(results[0] == results[1])
    }
  }

  /// A recipe adds the paper's figures to the reports, and nothing to what was computed.
  @Test func aRecipeTellsOfThePaper() throws {
    try withText { folder, text in
      let recipe = folder + "/recipe.json"
      func write(_ paper: String) throws {
        let text = """
          {"title": "Gates", "units": ["gelu", "swiglu"],
           "scales": {"nano": {"steps": 3}},
           "paper": {"source": "table 1", "scale": "the small model", "perplexity": {\(paper)}}}
          """
        try Data(text.utf8).write(to: URL(fileURLWithPath: recipe))
      }
      func file(_ name: String) throws -> String {
        try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
      }
      try write("\"gelu\": 25.6, \"swiglu\": 23.6")
      let runs = [("with", ["--recipe", recipe]), ("without", ["--units", "gelu,swiglu"])]
      for (name, more) in runs {
        let result = try mglu(
          command(folder, text, more + ["--steps", "3", "--output", "\(folder)/\(name)"]))
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output.contains("paper's perplexity") == (name == "with"))
        for format in ["md", "html"] {
          let report = try file("\(name)/report.\(format)")
          #expect(report.contains("25.6") == (name == "with"))
          #expect(report.contains("table 1; the small model") == (name == "with"))
        }
      }
      #expect(try file("with/results.json") == file("without/results.json"))

      for (paper, words) in [
        ("\"foo\": 1", "unit \"foo\""), ("\"swimglu:4\": 23.9", "not in the recipe"),
      ] {
        try write(paper)
        let result = try mglu(
          command(folder, text, ["--recipe", recipe, "--output", folder + "/out"]))
        #expect(result.status == 1 && result.errors.contains(words), "\(result.errors)")
        #expect(result.errors.contains("recipe.json"), "the file is named")
        #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
      }
    }
  }

  @Test(arguments: [
    (["--units", "gelu,foo"], "unit \"foo\""), (["--units", "gelu", "--seeds", "1,1"], "seeds"),
    (["--units", "gelu", "--learning-rates", "x"], "--learning-rates"),
    (["--units", "gelu", "--steps", "0"], "steps"), ([], "no units"),
    (["--units", "gelu", "--minutes=-1"], "minutes -1.0: expected more than 0"),
    (["--units", "gelu", "--minutes", "0"], "minutes 0.0: expected more than 0"),
    (["--units", "gelu", "--minutes", "nan"], "minutes nan: expected more than 0"),
    (["--recipe", "/none.json"], "/none.json"),
  ])
  func badInputGetsOneLineAndLeavesNothing(arguments: [String], words: String) throws {
    try withText { folder, text in
      let result = try mglu(
        command(folder, text, arguments + ["--output", folder + "/out"]))
      #expect(result.status != 0 && result.output.isEmpty)
      #expect(result.errors.contains(words), "\(result.errors)")
      #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
    }
  }
}
