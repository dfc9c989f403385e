import Foundation
import Testing

@Suite struct CalibrateCommandTests {
  /// Killed after its first layers and repeated, and not killed: the same model, of the loss that is
  /// told, with nothing left beside it.
  @Test func aTrainedModelIsConverted() throws {
    try withText { folder, text in
      let glu = folder + "/glu"
      let unit = ["--ffn", "swiglu", "--layers", "8", "--hidden-size", "32", "--heads", "2"]
      let sizes = ["--intermediate-size", "48", "--eval-tokens", "1000", "--warmup-steps", "5"]
      let train = ["train", "--data", text, "--output", glu, "--steps", "60", "--batch-size", "4"]
      #expect(try mglu(train + unit + sizes).status == 0)
      func convert(_ output: String, _ more: [String] = []) -> [String] {
        ["convert", "--model", glu, "--to", "mglu", "--masks", "2", "--calibrate", text]
          + ["--calibration-tokens", "2048", "--tune-steps", "20", "--threads", "2", "--json"]
          + ["--output", output] + more
      }
      let whole = try mglu(convert(folder + "/whole"))
      #expect(whole.status == 0, "\(whole.errors)")
      let document = try whole.json()
      let after = try #require(document["loss_after"] as? Double)
      #expect(document["calibration_tokens"] as? Int == 2048 && document["masks"] as? Int == 2)
      #expect(after < (try #require(document["loss_before"] as? Double)) + 0.5)
      let kept = folder + "/killed/conversion/layer-0.safetensors"
      _ = try mglu(
        convert(folder + "/killed"),
        killOnce: { FileManager.default.fileExists(atPath: kept) })
      let other = try mglu(convert(folder + "/killed", ["--tune-steps", "21"]))
      #expect(other.status == 1 && other.errors.contains("another conversion: "))
      let resumed = try mglu(convert(folder + "/killed"))
      #expect(resumed.status == 0 && resumed.errors.contains("resumed"), "\(resumed.errors)")
      let models = try ["whole", "killed"].map { name in
        try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)/model.safetensors"))
      }
      #expect(models[0] == models[1])
      let names = try FileManager.default.contentsOfDirectory(atPath: folder + "/killed")
      #expect(names.contains("config.json") && !names.contains("conversion"))
    }
  }

  @Test(arguments: [
    (["--to", "llama", "--calibrate", "x"], "--masks"),
    (["--to", "mglu", "--calibrate", "x"], "--masks"),
    (["--to", "mglu", "--masks", "1", "--tune-steps", "3"], "belongs to --calibrate"),
    (["--to", "mglu", "--masks", "1", "--device", "cpu"], "belongs to --calibrate"),
    (
      ["--to", "mglu", "--masks", "1", "--calibrate", "x", "--calibration-tokens", "0"],
      "at least 1"
    ),
    (["--to", "mglu", "--masks", "1", "--calibrate", "/none"], "/none"),
  ])
  func wrongOptionsAreRefused(arguments: [String], words: String) throws {
    try withText { folder, text in
      let output = folder + "/out"
      let result = try mglu(["convert", "--model", "/none", "--output", output] + arguments)
      #expect(result.status != 0 && result.errors.contains(words), "\(result.errors)")
      #expect(!FileManager.default.fileExists(atPath: output))
    }
  }
}
