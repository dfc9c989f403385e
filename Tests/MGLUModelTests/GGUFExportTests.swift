import MGLUModel
import MGLUTestSupport
import Testing

@Suite struct GGUFExportTests {
  static let tokens = (0..<20).map { Int32($0 * 17 % 250) }

  static func model(
    _ unit: FeedForwardUnitKind, qkNorm: Bool = false, scaling: RopeScaling? = nil,
    activation: Activation = .silu, tied: Bool = true
  ) throws -> LanguageModel {
    let model = try LanguageModel(
      ModelConfiguration(
        vocabularySize: 260, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 16),
        feedForward: .init(
          hiddenSize: 64, intermediateSize: 96, unit: unit, activation: activation),
        contextLength: 32, hasQKNorm: qkNorm, ropeTheta: 1000, ropeScaling: scaling,
        tiesEmbeddings: tied, eosTokenIDs: [256]), on: CPUBackend(threads: 2))
    model.initialize(seed: 3)
    return model
  }

  /// Writes `model` with the tokenizer of bytes, exports it, and returns the path of the file.
  static func exported(
    _ model: LanguageModel, as weights: WeightType, in folder: String
  ) throws -> (path: String, configuration: ModelConfiguration) {
    try ModelFolder.save(model, to: folder + "/a")
    try Tokenizer.bytes.save(to: folder + "/a")
    let path = folder + "/\(weights.rawValue).gguf"
    let written = try ModelFolder.exportGGUF(
      folder + "/a", weights: weights, to: path, on: CPUBackend(threads: 2))
    return (path, written)
  }

  @Test(
    arguments: [
      FeedForwardUnitKind.glu, .sharedGLU, .mglu(.init(count: 1)), .mglu(.init(count: 4)),
      .mglu(.init(count: 3, kind: .fixed)),
    ], [false, true])
  func theFileComputesTheSame(unit: FeedForwardUnitKind, qkNorm: Bool) throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(unit, qkNorm: qkNorm, tied: !qkNorm)
      let expected = model.logits(Self.tokens)
      let (path, written) = try Self.exported(model, as: .float32, in: folder)
      #expect(written.feedForward.intermediateSize == 96 * (unit.masks?.count ?? 1))
      let again = try ModelFolder.load(path, on: CPUBackend(threads: 2))
      var described = again.configuration
      // With QK-norm it is a Qwen3.
      described.family = written.family
      #expect(described == written)
      let found = again.logits(Self.tokens)
      #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-5 })
      // The Llama of the other road has the same bits.
      let llama = try model.llamaExport()
      for (a, b) in zip(again.namedParameters, llama.namedParameters) {
        #expect(a.name == b.name && a.tensor.array == b.tensor.array)
      }
      #expect(try Tokenizer(contentsOf: path).encode("Hä<|endoftext|>") == [72, 195, 164, 256])
      #expect(
        try GGUFFile(path: path).string("general.architecture") == (qkNorm ? "qwen3" : "llama"))
    }
  }

  @Test(arguments: [
    RopeScaling.linear(factor: 4),
    .llama3(factor: 8, lowFrequency: 1, highFrequency: 4, original: 8192),
    .llama3(factor: 32, lowFrequency: 1, highFrequency: 4, original: 1024),
  ])
  func rotaryScalingComesBack(scaling: RopeScaling) throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(.glu, scaling: scaling)
      let (path, written) = try Self.exported(model, as: .bfloat16, in: folder)
      let found = try ModelFolder.configuration(in: path)
      guard case .llama3(let factor, _, _, let original) = found.ropeScaling else {
        return #expect(found == written)
      }
      guard case .llama3(let expected, _, _, let context) = scaling else { return }
      #expect(factor == expected)
      // Contexts whose factors are the same for these frequencies are as good.
      let theta = written.ropeTheta
      let a = GGUFRopeFactors.factors(of: scaling, theta: theta, headSize: 16)
      let b = GGUFRopeFactors.factors(of: found.ropeScaling!, theta: theta, headSize: 16)
      #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-3 }, "\(original) for \(context)")
    }
  }

  /// Elements of each type are those that the type's conversion gives, and stay so when read.
  @Test(arguments: WeightType.allCases)
  func elementsAreThoseOfTheType(weights: WeightType) throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(.mglu(.init(count: 2)))
      let (path, _) = try Self.exported(model, as: weights, in: folder)
      let backend = try CPUBackend(threads: 2)
      let opened = try ModelFolder.loadForInference(path, on: backend)
      #expect(opened.weightType == weights)
      let expected = try InferenceModel(model.llamaExport(), weights: weights)
      let a = try GGUFModelTests.logits(of: opened, Self.tokens)
      let b = try GGUFModelTests.logits(of: expected, Self.tokens)
      #expect(a == b)
    }
  }

  /// Integers of a folder go into the file, and come back, as they are.
  @Test func integersStayIntegers() throws {
    try withTemporaryFolder { folder in
      let backend = try CPUBackend(threads: 2)
      try ModelFolder.save(try Self.model(.mglu(.init(count: 2))), to: folder + "/a")
      _ = try ModelFolder.convertForInference(
        folder + "/a", weights: .int8, to: folder + "/b", on: backend)
      try Tokenizer.bytes.save(to: folder + "/b")
      _ = try ModelFolder.exportGGUF(
        folder + "/b", weights: .int8, to: folder + "/c.gguf", on: backend)
      let (configuration, source) = try ModelFolder.open(folder + "/b")
      let llama = try LlamaWeights(configuration, from: source)
      let tensors = try CheckpointTensors(folder: folder + "/c.gguf")
      #expect(tensors.weightType == .int8)
      for parameter in llama.configuration.parameterTable.parameters
      where parameter.shape.count == 2 {
        let a = try llama.matrix(parameter, on: backend)
        let b = try tensors.matrix(parameter, on: backend)
        #expect(a.type == .int8 && a.weights.bytes.elementsEqual(b.weights.bytes))
        #expect(a.scales!.bytes.elementsEqual(b.scales!.bytes))
      }
    }
  }

  @Test(arguments: [
    (FeedForwardUnitKind.glu, Activation.gelu, "SiLU"), (.lu, .silu, "gate"),
    (.mglu(.init(count: 2, routerTopK: 1)), .silu, "router"),
  ])
  func whatLlamaCppDoesNotComputeIsRefused(
    unit: FeedForwardUnitKind, activation: Activation, words: String
  ) throws {
    try withTemporaryFolder { folder in
      let model = try Self.model(unit, activation: activation)
      let error = #expect(throws: CheckpointError.self) {
        try Self.exported(model, as: .float16, in: folder)
      }
      #expect(error?.code == .notExportable && error?.message.contains(words) == true)
      #expect(try Folder.names(in: folder) == ["a"])
    }
  }

  @Test func tokenizersWithoutANameAreRefused() throws {
    try withTemporaryFolder { folder in
      try ModelFolder.save(try Self.model(.glu), to: folder + "/a")
      func refusal() -> String? {
        let error = #expect(throws: CheckpointError.self) {
          try ModelFolder.exportGGUF(
            folder + "/a", weights: .float16, to: folder + "/a.gguf", on: CPUBackend(threads: 1))
        }
        return error?.message
      }
      #expect(refusal()?.contains("no such file") == true)
      // Words of GPT-2 without regard to merges: llama.cpp has no such name.
      try Tokenizer.bytes.save(to: folder + "/a")
      let path = folder + "/a/tokenizer.json"
      let text = String(decoding: try MappedFile(path: path).contents, as: UTF8.self)
      let changed = text.split(
        separator: "\"ignore_merges\" : false", omittingEmptySubsequences: false
      )
      .joined(separator: "\"ignore_merges\" : true")
      #expect(changed != text)
      try AtomicFile.write(Array(changed.utf8), to: path)
      #expect(refusal()?.contains("ByteLevel") == true)
    }
  }

  /// The names that llama.cpp has are those of one way each, so that a file read and written again says
  /// the same.
  @Test func namesAreDistinct() {
    let names = GGUFPreTokenizer.all.flatMap(\.names)
    #expect(Set(names).count == names.count)
    for one in GGUFPreTokenizer.all {
      let found = GGUFPreTokenizer.all.first {
        $0.steps == one.steps && $0.ignoresMerges == one.ignoresMerges
      }
      // Qwen 2 composes text, others of its pattern do not; llama.cpp never does.
      #expect(found?.names == one.names || found?.names == ["qwen2"])
    }
  }
}
