import Foundation
import Testing

/// What a run tells of itself beside its losses: event files, and masks that moved.
@Suite struct TelemetryCommandTests {
  private func lines(_ path: String) throws -> [[String: Any]] {
    try String(decoding: Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
      .split(separator: "\n").map { line in
        try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] ?? [:]
      }
  }

  /// The numbers of a line of the metrics by their names in TensorBoard.
  private func scalars(_ line: [String: Any]) -> [String: Float] {
    var scalars: [String: Float] = [:]
    for (key, tag) in [
      ("loss", "loss/training"), ("validation_loss", "loss/validation"),
      ("bits_per_byte", "loss/bits_per_byte"), ("learning_rate", "optimizer/learning_rate"),
      ("gradient_norm", "optimizer/gradient_norm"),
      ("tokens_per_second", "speed/tokens_per_second"),
    ] {
      if let value = line[key] as? Double { scalars[tag] = Float(value) }
    }
    for name in ["mask_ones", "mask_flips_per_100_steps", "mask_near_zero"] {
      for (layer, value) in (line[name] as? [Double] ?? []).enumerated() {
        scalars["\(name)/layer_\(layer)"] = Float(value)
      }
    }
    return scalars
  }

  @Test func theReaderKnowsWhatAChecksumIs() {
    // The check value of CRC-32C.
    #expect(EventFile.crc32c(Array("123456789".utf8)) == 0xe306_9283)
  }

  /// Every number of the metrics, at its step and once, after a resume too.
  @Test func eventFilesTellWhatTheMetricsTell() throws {
    try withText { folder, text in
      let run = folder + "/run"
      for more in [["--steps", "6"], ["--steps", "10", "--resume"]] {
        let result = try mglu(
          CommandTests.train(text, run, more + ["--tensorboard", "--eval-every", "4"]))
        #expect(result.status == 0, "\(result.errors)")
      }
      let names = try FileManager.default.contentsOfDirectory(atPath: run)
        .filter { $0.hasPrefix("events.out.tfevents.") }
      #expect(names.count == 1)
      let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(run)/\(names[0])")))
      let events = try EventFile(bytes).events
      #expect(events[0].version == "brain.Event:2")
      let metrics = try lines(run + "/metrics.jsonl")
      #expect(events.dropFirst().map(\.step) == metrics.map { $0["step"] as? Int })
      for (event, line) in zip(events.dropFirst(), metrics) {
        #expect(!event.scalars.isEmpty && event.scalars == scalars(line))
      }
      let steps = events.filter { $0.scalars["loss/training"] != nil }.map(\.step)
      #expect(steps == Array(1...10))
      #expect(events.contains { $0.scalars["mask_ones/layer_1"] != nil })
      // One bit turned anywhere is noticed.
      var damaged = bytes
      damaged[bytes.count / 2] ^= 4
      #expect(throws: EventFile.Problem.self) { try EventFile(damaged) }
      // Nothing is written that was not asked for.
      let plain = folder + "/plain"
      #expect(try mglu(CommandTests.train(text, plain, ["--steps", "2"])).status == 0)
      #expect(
        try !FileManager.default.contentsOfDirectory(atPath: plain)
          .contains { $0.hasPrefix("events") })
    }
  }

  private func shares(_ result: CommandResult) throws -> [[Double]] {
    let layers = try #require(try result.json()["layers"] as? [[String: [Double]]])
    return layers.map { $0["changed"] ?? [] }
  }

  @Test func masksOfTwoModelsAreCompared() throws {
    try withText { folder, text in
      let (one, two) = (folder + "/one", folder + "/two")
      for (path, seed) in [(one, "1"), (two, "2")] {
        let settings = ["--steps", "4", "--save-every", "2", "--seed", seed]
        #expect(try mglu(CommandTests.train(text, path, settings)).status == 0)
      }
      func compare(_ a: String, _ b: String, _ more: [String] = []) throws -> CommandResult {
        let result = try mglu(["inspect", "--diff", a, b] + more)
        #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
        return result
      }
      // The same masks, also where they lie as bits.
      #expect(try shares(compare(one, one, ["--json"])) == [[0, 0], [0, 0]])
      let packed = ["convert", "--model", one, "--to", "mglu-inference", "--output"]
      #expect(try mglu(packed + [folder + "/packed"]).status == 0)
      #expect(try shares(compare(one, folder + "/packed", ["--json"])) == [[0, 0], [0, 0]])
      let table = try compare(one, one).output.split(separator: "\n")
      #expect(table.count == 3 && table[0].contains("bits that differ"))
      #expect(table.dropFirst().allSatisfy { $0.contains("0.0%") })

      // Two draws of 48 x 32 signs differ in half of them: 0.08 is six standard deviations.
      for layer in try shares(compare(one, two, ["--json"])) {
        #expect(layer.count == 2 && layer.allSatisfy { abs($0 - 0.5) < 0.08 })
      }
      // It does not matter which is named first, and a share is a whole number of bits.
      let steps = ["/checkpoint-000002", "/checkpoint-000004"].map { one + $0 }
      let forth = try shares(compare(steps[0], steps[1], ["--json"]))
      #expect(try shares(compare(steps[1], steps[0], ["--json"])) == forth)
      #expect(forth.allSatisfy { $0.contains { $0 > 0 } }, "two steps move masks")
      for share in forth.flatMap({ $0 }) {
        #expect(share < 0.5 && abs(share * 1536 - (share * 1536).rounded()) < 1e-9)
      }
    }
  }

  @Test func masksThatCannotBeComparedGetOneLine() throws {
    try withText { folder, text in
      let runs = [("two", ["--masks", "2"]), ("three", ["--masks", "3"])]
      for (name, more) in runs {
        let settings = ["--steps", "1", "--eval-every", "0"] + more
        #expect(try mglu(CommandTests.train(text, "\(folder)/\(name)", settings)).status == 0)
      }
      let plain = [
        "train", "--data", text, "--output", folder + "/plain", "--ffn", "swiglu", "--layers", "2",
        "--hidden-size", "32", "--heads", "2", "--intermediate-size", "48", "--steps", "1",
        "--threads", "2", "--batch-size", "4", "--eval-tokens", "1000", "--warmup-steps", "0",
      ]
      #expect(try mglu(plain).status == 0)
      for (other, words) in [
        ("three", "[3, 48, 32]"), ("plain", "no masks"), ("none", "\(folder)/none"),
      ] {
        let result = try mglu(["inspect", "--diff", folder + "/two", "\(folder)/\(other)"])
        #expect(result.status != 0 && result.output.isEmpty)
        #expect(result.errors.contains(words), "\(result.errors)")
        #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
      }
      let without = try mglu(["inspect", "--diff", folder + "/plain", folder + "/plain"])
      #expect(without.status == 0 && without.output == "these models have no masks\n")
      for wrong in [[folder + "/two"], ["a", "b", "c"], ["a", "b", "--model", "c"]] {
        let result = try mglu(["inspect", "--diff"] + wrong)
        #expect(result.status == 64 && result.errors.contains("two folders"))
      }
    }
  }
}
