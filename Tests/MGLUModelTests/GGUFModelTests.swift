import MGLUModel
import MGLUReference
import MGLUTestSupport
import Testing

/// Files of the `gguf` package, judged by it, by transformers and by PyTorch in float64
/// (Tests/Reference/gguf_vectors.py).
@Suite struct GGUFModelTests {
  static let llama = RepositoryFolder.vectors + "/gguf_llama.gguf"
  static let folder = RepositoryFolder.vectors

  @Test(arguments: GGUFTensorType.allCases.filter { $0.blockSize > 1 })
  func blocksHaveTheirValues(type: GGUFTensorType) throws {
    let file = try SafeTensors(path: "\(Self.folder)/gguf_blocks.safetensors")
    let blocks = file.tensor("\(type.name).blocks")
    let expected = try #require(file[type.name + ".values"])
    let target = try CPUBackend(threads: 1).allocate { $0.tensor(expected.shape) }
    let values = try CPUBackend(threads: 1).allocate { $0.tensor(expected.shape) }
    try file.load(type.name + ".values", into: values)
    GGUFBlocks.dequantize(
      UnsafeRawBufferPointer(blocks.bytes), of: type, into: target.floats)
    #expect(values.count == 24 * type.blockSize && values.array.contains { $0 < -0.1 })
    for (a, b) in zip(target.array, values.array) { #expect(abs(a - b) <= 1e-6 * abs(b)) }
  }

  private func expected() throws -> (ids: [Int32], logits: [Float]) {
    let file = try SafeTensors(path: "\(Self.folder)/gguf_llama.safetensors")
    let ids = file.tensor("ids")
    let target = try CPUBackend(threads: 1).allocate {
      $0.tensor(file["logits"]?.shape ?? [])
    }
    try file.load("logits", into: target)
    return (Array(UnsafeBufferPointer(start: ids.integers, count: ids.count)), target.array)
  }

  /// Interleaved heads, a head size of its own, eight types of tensors.
  @Test func logitsAreTransformers() throws {
    let (ids, logits) = try expected()
    let backend = try CPUBackend(threads: 2)
    let trained = try ModelFolder.load(Self.llama, on: backend)
    #expect(trained.configuration.eosTokenIDs == [0] && trained.configuration.ropeTheta == 5000)
    let exact = try ModelFolder.loadForInference(Self.llama, weights: .float32, on: backend)
    for found in [trained.logits(ids), try Self.logits(of: exact, ids)] {
      #expect(zip(found, logits).allSatisfy { abs($0 - $1) < 1e-4 })
    }
    // One matrix is F32, and nothing narrower holds the others exactly.
    #expect(try ModelFolder.loadForInference(Self.llama, on: backend).weightType == .float32)
  }

  static func logits(of model: InferenceModel, _ ids: [Int32]) throws -> [Float] {
    let session = InferenceSession(model, contextLength: ids.count)
    let sequence = try session.open()
    return try ids.flatMap { try session.append([$0], to: sequence).array }
  }

  @Test func tokenizerAndTemplateAreTheFolders() throws {
    let tokenizer = try Tokenizer(contentsOf: Self.llama)
    let original = try Tokenizer(contentsOf: "\(Self.folder)/tokenizer.json")
    for text in ["Hello, world!", "It's 12345 日本語", "a<|endoftext|>b", "\n\t  x"] {
      #expect(tokenizer.encode(text) == original.encode(text))
      #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }
    #expect(tokenizer.addedTokens == original.addedTokens && tokenizer.textStart == [])
    let template = try ChatTemplate(contentsOf: Self.llama)
    #expect(
      template.source
        == "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
    )
    #expect(
      try template.render([ChatMessage(role: "user", content: "Hi")])
        == "<user>Hi<|endoftext|>\n")
  }

  private struct SentencePiece: Decodable {
    struct Model: Decodable {
      let vocab: [String: Int]
      let merges: [[String]]
      let byteFallback: Bool
      let unknown: String
      enum CodingKeys: String, CodingKey {
        case vocab
        case merges
        case byteFallback = "byte_fallback"
        case unknown = "unk_token"
      }
    }
    struct Added: Decodable {
      let id: Int
      let special: Bool
    }
    let model: Model
    let added: [Added]
    enum CodingKeys: String, CodingKey {
      case model
      case added = "added_tokens"
    }
  }

  @Test func mergesOfScoresAreTransformers() throws {
    struct Expected: Decodable { let merges: [[String]] }
    let expected = try ModelFolder.decode(Expected.self, path: "\(Self.folder)/gguf_spm.json")
    let parts = try ModelFolder.parts(of: "\(Self.folder)/gguf_spm.gguf")
    let found = try #require(
      try ModelFolder.decode(SentencePiece.self, "tokenizer.json", of: parts))
    #expect(found.model.merges == expected.merges && expected.merges.count > 20)
    #expect(found.model.byteFallback && found.model.unknown == "<unk>")
    #expect(found.model.vocab["<0x0A>"] == 13 && found.model.vocab["[PAD0]"] == nil)
    #expect(found.added.filter(\.special).map(\.id) == [0, 1, 2] && found.added.count == 4)
  }

  /// Metadata that no folder would have, each refused by name.
  @Test(arguments: [
    (GGUFBytes(), "general.architecture"),
    (GGUFBytes(keys: 1).key("general.architecture", "gemma3"), "gemma3"),
    (GGUFBytes(keys: 1).key("general.architecture", 3), "expected a string"),
    (
      GGUFBytes(keys: 2).key("general.architecture", "llama").key("llama.expert_count", 8),
      "mixture of experts"
    ),
    (GGUFBytes(keys: 1).key("general.architecture", "llama"), "llama.embedding_length is missing"),
    (
      GGUFBytes(keys: 2).key("general.architecture", "llama")
        .key("llama.attention.key_length", 8), "value_length"
    ),
  ])
  func otherFilesAreRefused(file: GGUFBytes, words: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(file.bytes, to: folder + "/a.gguf")
      let error = #expect(throws: CheckpointError.self) {
        try ModelFolder.configuration(in: folder + "/a.gguf")
      }
      #expect(error?.message.contains(words) == true, "\(error)")
    }
  }

  @Test(arguments: [
    ("bert", "default", "bert"), ("gpt2", "kimi-k2", "kimi-k2"), ("gpt2", "gpt-2", "tokens"),
  ])
  func otherTokenizersAreRefused(model: String, pre: String, words: String) throws {
    try withTemporaryFolder { folder in
      var file = GGUFBytes(keys: words == "tokens" ? 3 : 4)
        .key("general.architecture", "llama").key("tokenizer.ggml.model", model)
        .key("tokenizer.ggml.pre", pre)
      if words != "tokens" {
        file = file.array("tokenizer.ggml.tokens", type: 8, count: 1)
        file.string("a")
      }
      try AtomicFile.write(file.bytes, to: folder + "/a.gguf")
      let error = #expect(throws: TokenizerError.self) {
        try Tokenizer(contentsOf: folder + "/a.gguf")
      }
      #expect(error?.message.contains(words) == true, "\(error)")
    }
  }
}
