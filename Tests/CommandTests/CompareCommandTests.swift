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

  /// Killed without a warning, and interrupted: the same command ends with the same results.
  @Test func killedComparisonsEndWithTheSameResults() throws {
    try withText { folder, text in
      let arguments = try command(
        folder, text,
        ["--units", "swiglu,swimglu:2", "--steps", "400", "--save-every", "50"])
      #expect(try mglu(arguments + ["--output", folder + "/whole"]).status == 0)
      let killed = arguments + ["--output", folder + "/killed"]
      for seconds in [0.3, 0.5, 0.7] { _ = try mglu(killed, killAfter: seconds) }
      _ = try mglu(killed, killAfter: 0.5, with: SIGINT)
      #expect(try mglu(killed).status == 0)
      let results = try ["whole", "killed"].map {
        try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)/results.json"))
      }
      #expect(results[0] == results[1])
    }
  }

  @Test(arguments: [
    (["--units", "gelu,foo"], "unit \"foo\""), (["--units", "gelu", "--seeds", "1,1"], "seeds"),
    (["--units", "gelu", "--learning-rates", "x"], "--learning-rates"),
    (["--units", "gelu", "--steps", "0"], "steps"), ([], "no units"),
    (["--units", "gelu", "--minutes=-1"], "minutes"), (["--recipe", "/none.json"], "/none.json"),
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
