import MGLUModel
import Testing

@Suite struct TokenGeneratorTests {
  static func model(context: Int = 24) throws -> LanguageModel {
    let model = try LanguageModel(
      ModelConfiguration(
        vocabularySize: 257, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 8),
        feedForward: .init(hiddenSize: 16, intermediateSize: 24, unit: .mglu(.init(count: 2))),
        contextLength: context, eosTokenIDs: [256]), on: CPUBackend(threads: 1))
    model.initialize(seed: 2)
    return model
  }

  /// What the full forward pass finds most probable; of equal ones the lowest id.
  static func greedy(after ids: [Int32], by model: LanguageModel) -> Int32? {
    let last = model.logits(ids).suffix(257)
    let best = last.indices.max { (last[$0], $1) < (last[$1], $0) }
    return best.map { Int32($0 - last.startIndex) }
  }

  @Test func greedyTokensAreThoseOfTheFullForward() throws {
    let model = try Self.model()
    let generator = try TokenGenerator(
      InferenceModel(model), tokenizer: .bytes, prompt: "ab", maximumTokens: 20)
    var ids = Tokenizer.bytes.encode("ab")
    var count = 0
    while let token = try generator.next() {
      #expect(token.id == Self.greedy(after: ids, by: model), "token \(count)")
      ids.append(token.id)
      count += 1
      #expect(generator.finishReason == (count == 20 ? .length : nil))
    }
    #expect(count == 20)
  }

  @Test func equalSeedsWriteEqualTexts() async throws {
    func text(seed: UInt64) async throws -> String {
      let generator = try TokenGenerator(
        InferenceModel(Self.model()), tokenizer: .bytes, prompt: "x", maximumTokens: 20,
        sampling: .init(temperature: 1, seed: seed))
      var text = ""
      for try await token in TokenStream(generator) { text += token.text }
      return text
    }
    let first = try await text(seed: 1)
    #expect(try await text(seed: 1) == first)
    #expect(try await text(seed: 2) != first)
  }

  /// Whenever five tokens have been read, the last two are read again and the rest is forgotten.
  @Test func writingGoesOnBeyondTheContext() throws {
    let model = try Self.model(context: 5)
    let generator = try TokenGenerator(
      InferenceModel(model), tokenizer: .bytes, prompt: "abcde", maximumTokens: 40)
    var window = Tokenizer.bytes.encode("abcde")
    var count = 0
    while let token = try generator.next() {
      #expect(token.id == Self.greedy(after: window, by: model), "token \(count)")
      window.append(token.id)
      if window.count > 5 { window = window.suffix(2) }
      count += 1
    }
    #expect(count == 40)
  }

  @Test func endOfTextEndsTheText() throws {
    let model = try Self.model()
    // The embedding row of the end decides: tied to the head, it wins every comparison.
    model.weights.norm.assign([Float](repeating: 0, count: 16))
    let generator = try TokenGenerator(
      InferenceModel(model), tokenizer: .bytes, prompt: "a", maximumTokens: 4)
    // All logits are 0: the lowest id is taken, which is content.
    #expect(try generator.next()?.id == 0)
    var configuration = model.configuration
    configuration.eosTokenIDs = [0]
    let ending = try LanguageModel(configuration, on: model.backend)
    let stopped = try TokenGenerator(
      InferenceModel(ending), tokenizer: .bytes, prompt: "a", maximumTokens: 4)
    #expect(stopped.finishReason == nil)
    #expect(try stopped.next() == nil)
    #expect(try stopped.next() == nil)
    #expect(stopped.finishReason == .stop)
  }

  @Test func impossibleRequestsAreRefused() throws {
    let model = try Self.model(context: 3)
    func code(_ prompt: String, tokens: Int = 1, temperature: Float = 0) -> GenerationProblem? {
      #expect(throws: GenerationError.self) {
        try TokenGenerator(
          InferenceModel(model), tokenizer: .bytes, prompt: prompt, maximumTokens: tokens,
          sampling: .init(temperature: temperature))
      }?.code
    }
    #expect(code("four") == .contextLength)
    #expect(code("a", tokens: -1) == .sampling)
    #expect(code("a", temperature: -.infinity) == .sampling)
  }

  /// It cancels itself: where others hold all threads nobody else would.
  @Test func cancellingEndsTheStream() async throws {
    let generator = try TokenGenerator(
      InferenceModel(Self.model()), tokenizer: .bytes, prompt: "a", maximumTokens: 1_000_000_000
    )
    let task = Task {
      var count = 0
      for try await _ in TokenStream(generator) {
        count += 1
        if count == 10 { withUnsafeCurrentTask { $0?.cancel() } }
      }
      return count
    }
    #expect(try await task.value == 10)
  }
}
