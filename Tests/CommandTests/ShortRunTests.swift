import Foundation
import Testing

/// Short runs, and what is told of them.
@Suite struct ShortRunTests {
  /// A short run warms up within its steps, a longer one that goes on keeps the warm-up of its beginning,
  /// and no line is longer than a terminal of 80 columns.
  @Test func shortRunsWarmUpAndGoOn() throws {
    try withText { folder, text in
      let run = folder + "/run"
      var arguments = CommandTests.train(text, run, ["--learning-rate", "0.01"])
      let warmUp = try #require(arguments.firstIndex(of: "--warmup-steps"))
      arguments.removeSubrange(warmUp...warmUp + 1)
      let first = try mglu(arguments + ["--steps", "30", "--eval-every", "10"])
      #expect(first.status == 0, "\(first.errors)")
      let lines = try String(contentsOfFile: run + "/metrics.jsonl", encoding: .utf8)
      let rates = try lines.split(separator: "\n").compactMap { line in
        let members = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        return members?["learning_rate"] as? Double
      }
      #expect(rates.count == 30 && abs((rates.max() ?? 0) - 0.01) < 1e-6)
      #expect(rates.prefix(3) == rates.prefix(3).sorted()[...])
      for line in first.errors.split(separator: "\n") where line.contains("validation loss") {
        #expect(line.count <= 80, "\(line)")
      }
      let more = try mglu(arguments + ["--steps", "60", "--resume"])
      #expect(more.status == 0, "\(more.errors)")
    }
  }

  /// The size that a conversion tells is that of its file.
  @Test(arguments: ["int8", "bf16", "fp32"]) func sizesToldAreThoseOfFiles(weights: String) throws {
    try withText { folder, text in
      let (run, output) = (folder + "/run", folder + "/converted")
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "1"])).status == 0)
      let result = try mglu([
        "convert", "--model", run, "--to", "mglu-inference", "--weights", weights,
        "--output", output,
      ])
      let path = output + "/model.safetensors"
      let bytes = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? 0
      let size = String(format: "%.2f MiB", Double(bytes) / 1_048_576)
      #expect(result.status == 0 && result.output.contains(size), "\(result.output)")
    }
  }

  /// What keeps a run from being resumed is named.
  @Test func otherSettingsAreNamed() throws {
    try withText { folder, text in
      let run = folder + "/run"
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "2"])).status == 0)
      let result = try mglu(
        CommandTests.train(text, run, ["--steps", "4", "--resume", "--masks", "3"]))
      #expect(result.status != 0 && result.errors.contains("num_masks 3, not 2"))
    }
  }
}
