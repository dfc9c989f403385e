import Foundation
import Testing

/// Commands that run models, and measure and check how.
@Suite struct InferenceCommandTests {
  /// One model, written narrow, is read by every command and says what its weights say.
  @Test func narrowModelsAreWrittenAndRead() throws {
    try withText { folder, text in
      let run = folder + "/run"
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "30"])).status == 0)
      let evaluate = ["evaluate", "--data", text, "--json", "--model"]
      let loss = try #require(try mglu(evaluate + [run]).json()["loss"] as? Double)
      var sizes: [Int] = []
      for weights in ["fp32", "bf16", "int8"] {
        let output = folder + "/" + weights
        let convert = ["convert", "--model", run, "--to", "mglu-inference", "--output", output]
        #expect(try mglu(convert + ["--weights", weights]).status == 0)
        let narrow = try #require(try mglu(evaluate + [output]).json()["loss"] as? Double)
        #expect(abs(narrow - loss) < (weights == "fp32" ? 1e-6 : 2e-2), "\(weights)")
        let path = output + "/model.safetensors"
        let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int
        sizes.append(try #require(size))
        #expect(try mglu(["inspect", "--model", output]).output.contains("%"))
        let again = try mglu(convert)
        #expect(again.status != 0 && again.errors.contains("holds a model already"))
      }
      func exactLoss(_ arguments: [String]) throws -> Double? {
        try mglu(evaluate + arguments + ["--input-precision", "fp32"]).json()["loss"] as? Double
      }
      let exact = try #require(try exactLoss([folder + "/int8"]))
      #expect(try exact != loss && exactLoss([run, "--weights", "int8"]) == exact)
      #expect(sizes == sizes.sorted().reversed() && 2 * sizes[2] < sizes[0])

      // Weights and activations as they are give the text that training's model would write.
      let generate = ["generate", "--prompt", "Line", "--max-tokens", "40", "--temperature", "0"]
      func written(_ more: [String]) throws -> String {
        let result = try mglu(generate + more)
        #expect(result.status == 0, "\(result.errors)")
        return result.output
      }
      let own = try written(["--model", run, "--input-precision", "fp32"])
      #expect(try written(["--model", run, "--activations", "fp32"]) == own)
      let both = ["--model", run, "--input-precision", "fp32", "--activations", "fp32"]
      #expect(try mglu(generate + both).status == 64)
      #expect(try written(["--model", folder + "/fp32", "--weights", "fp32"]) == own)
      let int8 = try written(["--model", folder + "/int8"])
      #expect(try written(["--model", run, "--weights", "int8"]) == int8)
      #expect(try mglu(generate + ["--model", run, "--weights", "int4"]).status == 64)
    }
  }

  /// Cut files, and masks that are not those of config.json, in a trained and in a narrow model.
  @Test func damagedModelsAreRefusedInOneLine() throws {
    try withText { folder, text in
      let narrow = folder + "/narrow"
      #expect(try mglu(CommandTests.train(text, folder + "/run", ["--steps", "3"])).status == 0)
      let convert = ["convert", "--model", folder + "/run", "--to", "mglu-inference"]
      #expect(try mglu(convert + ["--weights", "int8", "--output", narrow]).status == 0)
      for model in [folder + "/run", narrow] {
        func isRefused(_ file: String, _ words: String, _ damage: (Data) -> Data) throws {
          let url = URL(fileURLWithPath: model + "/" + file)
          let whole = try Data(contentsOf: url)
          try damage(whole).write(to: url)
          defer { try? whole.write(to: url) }
          for command in [
            ["generate", "--prompt", "a"], ["evaluate", "--data", text], ["inspect"],
          ] {
            let result = try mglu(command + ["--model", model])
            #expect(result.status == 1 && result.output.isEmpty && result.errors.contains(words))
            #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
          }
        }
        for length in [0, 100, 4000] {
          try isRefused("model.safetensors", "cut off") { $0.prefix(length) }
        }
        for (count, words) in [(1, "expected [1, 48, "), (3, "expected [3, 48, "), (0, "1 to 16")] {
          try isRefused("config.json", words) { json in
            let text = String(decoding: json, as: UTF8.self)
            let old = "\"num_masks\" : 2"
            return Data(
              text.replacingOccurrences(of: old, with: "\"num_masks\" : \(count)").utf8)
          }
        }
      }
    }
  }

  /// Weights that are no numbers: nothing is made up from them.
  @Test func modelsWithoutNumbersAreTold() throws {
    try withText { folder, text in
      let run = folder + "/run"
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "3"])).status == 0)
      let url = URL(fileURLWithPath: run + "/model.safetensors")
      var bytes = try Data(contentsOf: url)
      let header = 8 + Int(bytes.prefix(8).withUnsafeBytes { $0.load(as: UInt64.self) })
      bytes.replaceSubrange(header..., with: Data(repeating: 0xff, count: bytes.count - header))
      try bytes.write(to: url)
      for command in [
        ["generate", "--prompt", "a"], ["generate", "--prompt", "a", "--temperature", "1"],
        ["evaluate", "--data", text], ["logits", "--text", "a"],
      ] {
        let result = try mglu(command + ["--model", run])
        #expect(result.status == 1 && result.errors.contains("number"), "\(command)")
      }
    }
  }

  /// A GLU becomes an MGLU that learns on; what cannot is refused before anything is written.
  @Test func modelsAreMaskedAndHealed() throws {
    try withText { folder, text in
      let glu = folder + "/glu"
      // All of the small model but its unit.
      let sizes = Array(CommandTests.small.dropFirst(4))
      let trained = try mglu(
        ["train", "--data", text, "--output", glu, "--steps", "3", "--ffn", "swiglu"] + sizes)
      #expect(trained.status == 0, "\(trained.errors)")
      let convert = ["convert", "--model", glu, "--to", "mglu", "--output"]
      for (masks, words) in [("0", "1 to 16"), ("17", "1 to 16"), ("x", "--masks")] {
        let refused = try mglu(convert + [folder + "/bad", "--masks", masks])
        #expect(refused.status != 0 && refused.errors.contains(words), "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/bad"))
      }
      let masked = folder + "/masked"
      let converted = try mglu(convert + [masked, "--masks", "16"])
      #expect(converted.status == 0 && converted.errors.contains("layer 1: relative error"))
      let again = try mglu(
        ["convert", "--model", masked, "--to", "mglu", "--masks", "2", "--output", folder + "/bad"])
      #expect(again.status == 1 && again.errors.split(separator: "\n").count == 1)
      #expect(try mglu(convert + [folder + "/bad", "--masks", "2", "--to", "llama"]).status == 64)

      let heal = ["train", "--data", text, "--threads", "2", "--batch-size", "4", "--steps", "30"]
      let healed = try mglu(heal + ["--init", masked, "--output", folder + "/healed", "--json"])
      let loss = try #require(try healed.json()["train_loss"] as? Double)
      let evaluated = try mglu(["evaluate", "--model", masked, "--data", text, "--json"])
      #expect(try loss < #require(evaluated.json()["loss"] as? Double))
      #expect(
        try mglu(["inspect", "--model", folder + "/healed"]).output.contains("n_m = 16"))
      for (arguments, words) in [
        (["--init", folder + "/none"], "none"), (["--init", masked, "--layers", "3"], "--init"),
        (["--init", masked, "--tokenizer", folder + "/tokenizer"], "tokens"),
      ] {
        if words == "tokens" {
          let train = ["tokenizer", "train", "--data", text, "--output", folder + "/tokenizer"]
          #expect(try mglu(train + ["--vocabulary-size", "300"]).status == 0)
        }
        let refused = try mglu(heal + ["--output", folder + "/bad"] + arguments)
        #expect(refused.status != 0 && refused.errors.contains(words), "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder + "/bad"))
      }
    }
  }

  @Test func generationHasLimits() throws {
    try withText { folder, text in
      let run = folder + "/run"
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "3"])).status == 0)
      let generate = ["generate", "--model", run, "--prompt"]
      #expect(try mglu(generate + ["Line", "--max-tokens", "0"]).output == "Line\n")
      #expect(try mglu(generate + ["", "--max-tokens", "3"]).status == 0)
      // As many as the context holds, and no more.
      let most = try mglu(generate + ["Line", "--max-tokens", "100000", "--json"])
      #expect(try most.json()["tokens"] as? Int ?? 0 < 5000)
      for (arguments, words) in [
        (["Line", "--max-tokens=-1"], "-1"),
        (["Line", "--temperature=-1"], "temperature"), (["Line", "--top-p", "2"], "top-p"),
        (["Line", "--repetition-penalty", "0"], "repetition penalty"),
        (["Line", "--system", "Be brief."], "no chat template"),
        (["Line", "--raw", "--system", "Be brief."], "exclude each other"),
        (["Line", "--min-p", "2"], "min-p"), (["Line", "--top-k=-2"], "top-k"),
        ([String(repeating: "long ", count: 2000)], "at most"),
      ] {
        let refused = try mglu(generate + arguments)
        #expect(refused.status != 0 && refused.output.isEmpty)
        #expect(refused.errors.contains(words), "\(refused.errors.suffix(300))")
      }
    }
  }

  @Test func unitsAreTimedAndCheckedAtOddShapes() throws {
    let bench = ["bench", "ffn", "--shapes", "7x33", "--rounds", "2", "--batch", "3", "--json"]
    let timed = try mglu(bench + ["--masks", "1,16", "--weights", "fp32,int8"]).json()
    #expect(Set(timed.keys) == ["machine", "read_gb_per_s", "results"])
    let results = try #require(timed["results"] as? [[String: Any]])
    #expect(results.compactMap { $0["masks"] as? Int } == [0, 1, 16, 0, 1, 16])
    for result in results {
      // The bounds of the kernels' own tests, loosened for seven outputs.
      let bound = result["weights"] as? String == "fp32" ? 1e-5 : 0.1
      #expect(try #require(result["relative_error"] as? Double) < bound)
    }
    let wrong = try mglu(["bench", "ffn", "--masks", "17"])
    #expect(wrong.status == 64 && wrong.errors.contains("17"))
  }

  @Test func decodingIsTimedBesideTheGLU() throws {
    let bench = [
      "bench", "decode", "--preset", "nano", "--ffn", "swimglu", "--masks", "2", "--prompt", "9",
      "--generate", "5", "--repetitions", "2",
    ]
    let results = try #require(try mglu(bench + ["--json"]).json()["results"] as? [[String: Any]])
    #expect(results.compactMap { $0["test"] as? String } == ["pp9", "tg5", "pp9", "tg5"])
    let sizes = results.compactMap { $0["size_bytes"] as? Int }
    #expect(sizes.count == 4 && sizes[2] < sizes[0])
    #expect(results.allSatisfy { ($0["tokens_per_s"] as? Double ?? 0) > 0 })
    let table = try mglu(bench)
    #expect(table.status == 0 && table.output.contains("| SwiMGLU, n_m = 2 |"))
  }

  @Test func stepsOfManySequencesAreTimedBesideTheirBound() throws {
    let bench = [
      "bench", "decode", "--preset", "nano", "--ffn", "swiglu", "--prompt", "5,9", "--generate",
      "5", "--repetitions", "1", "--batch", "1,3", "--position",
    ]
    let timed = try mglu(bench + ["20", "--json"]).json()
    let results = try #require(timed["results"] as? [[String: Any]])
    #expect(
      results.compactMap { $0["test"] as? String } == ["pp5", "pp9", "tg5", "tg@20", "tg@20"])
    #expect(results.compactMap { $0["batch"] as? Int } == [1, 1, 1, 1, 3])
    #expect(results.dropFirst(2).allSatisfy { ($0["bound_tokens_per_s"] as? Double ?? 0) > 0 })
    let beyond = try mglu(bench + ["1048577"])
    #expect(beyond.status != 0 && beyond.errors.contains("position"), "\(beyond.errors)")
    let wrong = try mglu(["bench", "decode", "--preset", "nano", "--batch", "1,x"])
    #expect(wrong.status == 64 && wrong.errors.contains("1,x"))
  }

  @Test(arguments: [
    ["ffn", "--shapes", "1048576x1048576"],
    ["decode", "--preset", "llama-3.1-8b", "--layers", "4000"],
  ])
  func whatNoMemoryHoldsIsRefused(arguments: [String]) throws {
    let result = try mglu(["bench"] + arguments)
    #expect(result.status != 0 && result.errors.contains("GiB"), "\(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 1)
  }

  @Test func kernelsAreVerified() throws {
    let verified = try mglu(["verify", "--skip-large", "--threads", "3", "--json"])
    #expect(verified.status == 0, "\(verified.output)")
    let findings = try #require(try verified.json()["findings"] as? [[String: Any]])
    #expect(try verified.json()["misses"] as? Int == 0 && findings.count % 47 == 0)
    #expect(findings.allSatisfy { ($0["cases"] as? Int ?? 0) > 3 })
    // Without a GPU there is no training to check, which is no success.
    let nothing = try mglu(["verify", "--only", "training"])
    #expect(nothing.status != 0 && nothing.errors.contains("--device cuda"))
  }

  /// What was asked for is computed, or refused.
  @Test func lengthsAndTokensAreTakenAsTheyAre() throws {
    try withText { folder, text in
      let run = folder + "/run"
      let trained = CommandTests.train(text, run, ["--steps", "2"])
      #expect(try mglu(trained).status == 0)
      for arguments in [
        ["logits", "--ids", "1 2"], ["logits", "--ids", "1,,2"],
        ["logits", "--text", String(repeating: "a", count: 5000)],
        ["bench", "decode", "--prompt", "5000"], ["bench", "decode", "--generate", "5000"],
      ] {
        let result = try mglu(arguments + ["--model", run])
        #expect(result.status != 0, "\(arguments.prefix(3)): \(result.output)")
        #expect(!result.errors.contains("65 tokens"), "\(result.errors)")
      }
      #expect(try mglu(["logits", "--ids", " 1, 2 ", "--model", run]).status == 0)
      func promptTokens(_ input: String) throws -> Int? {
        let result = try mglu(
          ["generate", "--model", run, "--max-tokens", "1", "--json"], input: input)
        return try result.json()["prompt_tokens"] as? Int
      }
      #expect(try promptTokens("Line\r\n") == promptTokens("Line\n"))
      #expect(try promptTokens("Line") == promptTokens("Line\n"))
    }
  }

  /// A demonstration replaces its own models, and none of anybody else.
  @Test func demonstrationsReplaceTheirOwn() throws {
    try withText { folder, text in
      let other = folder + "/swiglu/notes.txt"
      try FileManager.default.createDirectory(
        atPath: folder + "/swiglu", withIntermediateDirectories: true)
      try Data("keep".utf8).write(to: URL(fileURLWithPath: other))
      let demo = ["demo", "--data", text, "--seconds", "0.01", "--output"]
      let refused = try mglu(demo + [folder])
      #expect(refused.status != 0 && refused.errors.contains("swiglu"), "\(refused.errors)")
      #expect(FileManager.default.fileExists(atPath: other))
      let marker = URL(fileURLWithPath: folder + "/made-by-mglu-demo")
      try Data().write(to: marker)
      #expect(try mglu(demo + [folder]).status == 0)
      #expect(!FileManager.default.fileExists(atPath: other))
    }
  }
}
