import Foundation
import MGLUModel
import MGLUTestSupport
import Testing

/// What a folder says to Hugging Face's readers, and what is understood of theirs. `make interop`
/// asks those readers themselves.
@Suite struct HuggingFaceTests {
  /// The config.json of a small Llama with other keys.
  private func configuration(_ keys: [String: Any]) throws -> ModelConfiguration {
    var all: [String: Any] = [
      "model_type": "llama", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
      "num_hidden_layers": 1, "num_attention_heads": 2,
    ]
    all.merge(keys) { $1 }
    return try withTemporaryFolder { folder in
      let bytes = try JSONSerialization.data(withJSONObject: all)
      try AtomicFile.write(Array(bytes), to: folder + "/config.json")
      return try ModelFolder.configuration(in: folder)
    }
  }

  static let llama3: [String: any Sendable] = [
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
  ]

  @Test func rotaryKeysOldAndNewAreRead() throws {
    let expected = RopeScaling.llama3(
      factor: 8, lowFrequency: 1, highFrequency: 4, original: 8192)
    let scaling = Self.llama3 as [String: Any]
    let new = scaling.merging(["rope_type": "llama3", "rope_theta": 5e5]) { $1 }
    let old = scaling.merging(["type": "llama3"]) { $1 }
    for keys in [["rope_parameters": new], ["rope_scaling": old, "rope_theta": 5e5]] {
      let found = try configuration(keys)
      #expect(found.ropeScaling == expected && found.ropeTheta == 5e5)
    }
    let linear = try configuration(["rope_scaling": ["type": "linear", "factor": 2.0]])
    #expect(linear.ropeScaling == .linear(factor: 2) && linear.ropeTheta == 10_000)
    #expect(try configuration(["rope_parameters": ["rope_type": "default"]]).ropeScaling == nil)
    #expect(try configuration(["sliding_window": NSNull()]).ropeScaling == nil)
  }

  /// The first token and those that end a text come back as they were.
  @Test(arguments: [(1, [2, 3]), (nil, [2]), (2, [2])] as [(Int?, [Int])])
  func tokensThatBeginAndEndTextsAreKept(start: Int?, ends: [Int]) throws {
    var keys: [String: Any] = ["eos_token_id": ends]
    keys["bos_token_id"] = start
    let model = try LanguageModel(configuration(keys), on: CPUBackend(threads: 1))
    try withTemporaryFolder { folder in
      try ModelFolder.save(model, to: folder)
      let bytes = Data(try MappedFile(path: folder + "/config.json").contents)
      let written = try JSONSerialization.jsonObject(with: bytes) as? [String: Any]
      #expect(written?["bos_token_id"] as? Int == start ?? ends[0])
      #expect(try ModelFolder.configuration(in: folder).eosTokenIDs == ends.map(Int32.init))
    }
  }

  /// One id or a list of them, and an error says so.
  @Test(arguments: [#""x""#, #"["x"]"#, "{}"])
  func otherEndsOfTextsAreRefused(value: String) throws {
    let value = try JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)
    let error = #expect(throws: CheckpointError.self) { try configuration(["eos_token_id": value]) }
    let message = try #require(error?.message)
    #expect(message.contains("eos_token_id is not a whole number or a list of them"), "\(message)")
  }

  @Test func contextsThatNoMemoryHoldsAreRefused() throws {
    // 512 TiB of rotary positions: more than any machine has. They are refused before anything is
    // allocated.
    let long = try configuration([
      "max_position_embeddings": Int(Int32.max), "head_dim": 1 << 16,
    ])
    let error = #expect(throws: ConfigurationError.self) {
      try LanguageModel(long, on: CPUBackend(threads: 1))
    }
    let message = try #require(error?.message)
    #expect(message.contains("a context of 2147483647 takes 524288.0 GiB"), "\(message)")
  }

  /// High frequencies stay, low ones are divided, and the middle of the two is in between.
  @Test func llama3ScalesByTheTurnsOfAFrequency() {
    let scaling = RopeScaling.llama3(factor: 8, lowFrequency: 1, highFrequency: 4, original: 100)
    func frequency(turns: Double) -> Double { turns * 2 * .pi / 100 }
    #expect(scaling.scaled(frequency(turns: 5)) == frequency(turns: 5))
    #expect(scaling.scaled(frequency(turns: 0.5)) == frequency(turns: 0.5) / 8)
    let middle = scaling.scaled(frequency(turns: 2.5)) / frequency(turns: 2.5)
    #expect(abs(middle - (0.5 + 0.5 / 8)) < 1e-12)
  }

  @Test(arguments: [
    ("rope_scaling", ["type": "dynamic", "factor": 2.0] as [String: any Sendable]),
    ("rope_scaling", ["type": "llama3", "factor": 2.0]), ("rope_scaling", ["type": "linear"]),
    ("rope_scaling", ["type": "linear", "factor": 0.0]),
    ("rope_parameters", ["rope_type": "default", "partial_rotary_factor": 0.5]),
    ("rope_parameters", ["rope_type": "yarn", "factor": 0.5]),
    ("rope_parameters", ["rope_type": "yarn", "factor": 2.0, "beta_fast": -1.0]),
  ])
  func otherRotaryKeysAreRefused(key: String, value: [String: any Sendable]) {
    #expect(throws: CheckpointError.self) { try configuration([key: value]) }
  }

  /// The frequencies of transformers 5.24 for 8 pairs, theta 10,000 and an original context of 64; the
  /// factor is 0.1 ln 4 + 1.
  @Test func yarnScalesAsTransformersDoes() throws {
    let scaling = try #require(
      configuration([
        "rope_parameters": [
          "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
        ]
      ]).ropeScaling)
    let found = RopeScaling.frequencies(theta: 10_000, pairs: 8, scaling)
    let expected = [
      1, 0.237170815, 0.05, 0.00790569466, 0.0025, 0.000790569466, 0.00025, 7.90569466e-05,
    ]
    #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-6 * $1 })
    #expect(abs(scaling.attentionFactor - 1.138629436) < 1e-9)
  }

  /// What a family says of windows, and what it means where it says nothing.
  @Test func windowsAreReadAsTheirFamilyMeansThem() throws {
    func window(_ keys: [String: Any]) throws -> Int? {
      try configuration(keys).attention.window
    }
    #expect(try window(["model_type": "mistral", "sliding_window": 8]) == 8)
    #expect(try window(["model_type": "mistral", "sliding_window": NSNull()]) == nil)
    #expect(try window(["model_type": "mistral"]) == 4096)
    #expect(try window(["model_type": "phi3"]) == nil)
    #expect(try window(["model_type": "qwen2", "sliding_window": 8]) == nil)
    let some = try configuration([
      "model_type": "qwen2", "sliding_window": 8, "use_sliding_window": true,
      "num_hidden_layers": 3, "max_window_layers": 2,
    ])
    #expect(some.attention.window == 8 && some.unwindowedLayers == [0, 1])
    #expect((0..<3).map { some.attention(ofLayer: $0).window } == [nil, nil, 8])
    var short = some
    short.contextLength = 8
    #expect(short.attention(ofLayer: 2).window == nil, "a window of the whole context is none")
    #expect(throws: CheckpointError.self) { try window(["sliding_window": 8]) }
  }

  @Test func layersWithoutPositionsAreRead() throws {
    let keys: [String: Any] = ["model_type": "smollm3", "num_hidden_layers": 8]
    let usual = try configuration(keys)
    #expect(usual.unrotatedLayers == [3, 7] && usual.tiesEmbeddings && usual.ropeTheta == 2e6)
    let given = try configuration(
      keys.merging(["no_rope_layers": [0, 1, 1, 1, 1, 1, 1, 0]]) { $1 })
    #expect(given.unrotatedLayers == [0, 7])
    #expect(given.attention(ofLayer: 0).rotarySize == 0)
    #expect(given.attention(ofLayer: 1).rotarySize == 8)
  }

  /// No stock model has QK-norm and biases of queries, keys and values alone.
  @Test func attentionOfNoStockModelIsNotExported() throws {
    var configuration = try LlamaExportTests.model(.glu).configuration
    (configuration.hasQKNorm, configuration.hasQKVBias) = (true, true)
    let model = try LanguageModel.drawn(configuration, on: CPUBackend(threads: 1))
    let error = #expect(throws: CheckpointError.self) { try model.llamaExport() }
    #expect(error?.message.contains("QK-norm, biases") == true)
    try withTemporaryFolder { folder in
      try ModelFolder.save(model, to: folder)
      let again = try ModelFolder.load(folder, on: CPUBackend(threads: 1))
      #expect(again.configuration == configuration)
    }
  }

  /// Every variant of attention comes back from our own keys.
  @Test(arguments: AttentionVariant.allCases)
  func attentionOfMaskedModelsIsKept(variant: AttentionVariant) throws {
    try withTemporaryFolder { folder in
      var configuration = try LlamaExportTests.model(.mglu(.init(count: 2))).configuration
      variant.apply(to: &configuration)
      let model = try LanguageModel.drawn(configuration, on: CPUBackend(threads: 1))
      try ModelFolder.save(model, to: folder)
      let again = try ModelFolder.load(folder, on: CPUBackend(threads: 1))
      #expect(again.configuration == configuration)
      #expect(again.logits(LlamaExportTests.tokens) == model.logits(LlamaExportTests.tokens))
    }
  }

  /// The end of a text that the tokenizer's files alone name, beside those that others name.
  @Test(arguments: [
    (#"{"eos_token":"</s>","added_tokens_decoder":{"7":{"content":"</s>"}}}"#, "{}"),
    (#"{"eos_token":{"content":"</s>"}}"#, #"{"added_tokens":[{"id":7,"content":"</s>"}]}"#),
    (#"{"eos_token":"</s>"}"#, #"{"model":{"vocab":{"a":0,"</s>":7}}}"#),
  ])
  func endsOfTextOfTheTokenizerAreTaken(configuration: String, tokenizer: String) throws {
    try withTemporaryFolder { folder in
      try ModelFolder.save(LlamaExportTests.model(.glu), to: folder)
      #expect(try ModelFolder.configuration(in: folder).eosTokenIDs == [])
      try AtomicFile.write(Array(configuration.utf8), to: folder + "/tokenizer_config.json")
      try AtomicFile.write(Array(tokenizer.utf8), to: folder + "/tokenizer.json")
      #expect(try ModelFolder.configuration(in: folder).eosTokenIDs == [7])
      let path = folder + "/config.json"
      let written = try MappedFile(path: path).contents
      let text = String(decoding: written, as: UTF8.self)
      try AtomicFile.write(
        Array(("{\"eos_token_id\":3," + text.drop { $0 != "{" }.dropFirst()).utf8), to: path)
      #expect(try ModelFolder.configuration(in: folder).eosTokenIDs == [3, 7])
      try AtomicFile.write(
        Array(#"{"eos_token_id":[5]}"#.utf8), to: folder + "/generation_config.json")
      #expect(try ModelFolder.configuration(in: folder).eosTokenIDs == [5, 7])
    }
  }

  /// As transformers 5.24 does: a head of other elements stays apart, and alone it is both.
  @Test func headsOfTiedModelsAreRead() throws {
    try withTemporaryFolder { folder in
      let model = try LlamaExportTests.model(.glu)
      try ModelFolder.save(model, to: folder)
      let tensors = model.namedParameters
      let other = model.backend.host.allocate { $0.tensor(tensors[0].tensor.shape) }
      other.assign(tensors[0].tensor.array.reversed())
      func load(
        _ embedding: Tensor?, head: Tensor?
      ) throws -> LanguageModel {
        let ends = [("model.embed_tokens.weight", embedding), ("lm_head.weight", head)]
        let items = ends.compactMap { name, tensor in
          tensor.map { SafeTensorsWriter.Item(name: name, tensor: $0) }
        }
        try SafeTensorsWriter.write(
          items
            + tensors.dropFirst().map { SafeTensorsWriter.Item(name: $0.name, tensor: $0.tensor) },
          to: folder + "/model.safetensors")
        return try ModelFolder.load(folder, on: CPUBackend(threads: 1))
      }
      let apart = try load(tensors[0].tensor, head: other)
      #expect(!apart.configuration.tiesEmbeddings)
      #expect(apart.weights.embedding.array == tensors[0].tensor.array)
      #expect(apart.weights.head.array == other.array)
      #expect(try load(tensors[0].tensor, head: tensors[0].tensor).configuration.tiesEmbeddings)
      let alone = try load(nil, head: other)
      #expect(alone.configuration.tiesEmbeddings && alone.weights.embedding.array == other.array)
    }
  }

  @Test(arguments: [WeightType.float32, .float16, .bfloat16])
  func savedModelsOfEveryTypeAreReadBack(weights: WeightType) throws {
    try withTemporaryFolder { folder in
      var configuration = try LlamaExportTests.model(.glu).configuration
      configuration.ropeScaling = .linear(factor: 2)
      configuration.feedForward.unit = .mglu(.init(count: 2, routerTopK: 1))
      let model = try LanguageModel(configuration, on: CPUBackend(threads: 2))
      model.initialize(seed: 3)
      let files = try ModelFolder.save(model, weights: weights, to: folder)
      #expect(files["modeling_mglu.py"] != nil && files["configuration_mglu.py"] != nil)
      let again = try ModelFolder.load(folder, on: CPUBackend(threads: 2))
      #expect(again.configuration == configuration)
      let tokens = LlamaExportTests.tokens
      let largest = zip(again.logits(tokens), model.logits(tokens)).map { abs($0 - $1) }.max()
      #expect(try #require(largest) <= (weights == .float32 ? 0 : 0.02))
    }
  }

  /// A GLU with QK-norm is a stock Qwen3; another unit says so in a key of its own.
  @Test(arguments: [.glu, .mglu(.init(count: 2))] as [FeedForwardUnitKind])
  func qkNormIsWrittenAndRead(unit: FeedForwardUnitKind) throws {
    try withTemporaryFolder { folder in
      var configuration = try LlamaExportTests.model(unit).configuration
      (configuration.hasQKNorm, configuration.family) = (true, unit == .glu ? .qwen3 : .llama)
      let model = try LanguageModel.drawn(configuration, on: CPUBackend(threads: 1))
      try ModelFolder.save(model, to: folder)
      let bytes = Data(try MappedFile(path: folder + "/config.json").contents)
      let written = try JSONSerialization.jsonObject(with: bytes) as? [String: Any]
      #expect(written?["model_type"] as? String == (unit == .glu ? "qwen3" : "mglu"))
      #expect(written?["use_qk_norm"] as? Bool == (unit == .glu ? nil : true))
      let again = try ModelFolder.load(folder, on: CPUBackend(threads: 1))
      #expect(again.configuration == configuration)
      #expect(again.logits(LlamaExportTests.tokens) == model.logits(LlamaExportTests.tokens))
    }
  }

  /// Only what needs code brings code: stock Llamas and integers do not.
  @Test func pythonFilesLieBesideOtherUnitsOnly() throws {
    try withTemporaryFolder { folder in
      let gated = try LlamaExportTests.model(.glu)
      #expect(try ModelFolder.save(gated, to: folder + "/llama").count == 2)
      try ModelFolder.save(LlamaExportTests.model(.mglu(.init(count: 2))), to: folder + "/mglu")
      _ = try ModelFolder.convertForInference(
        folder + "/mglu", weights: .int8, to: folder + "/int8", on: CPUBackend(threads: 1))
      #expect(Folder.kind(of: folder + "/mglu/modeling_mglu.py") == .file)
      #expect(Folder.kind(of: folder + "/int8/modeling_mglu.py") == nil)
    }
  }

  @Test func textFilesAreCopiedAsTheyAre() throws {
    try withTemporaryFolder { folder in
      try Folder.create(folder + "/in")
      for name in ["tokenizer.json", "chat_template.jinja", "other.txt"] {
        try AtomicFile.write(Array(name.utf8), to: folder + "/in/" + name)
      }
      try TextFiles(ofModel: folder + "/in").write(to: folder + "/out")
      #expect(
        try Folder.names(in: folder + "/out").sorted() == ["chat_template.jinja", "tokenizer.json"])
    }
  }
}
