import MGLUModel
import Testing

@Suite struct TokenGeneratorTests {
  static func decoder(context: Int = 24) throws -> Decoder {
    let decoder = try Decoder(
      DecoderConfiguration(
        vocabularySize: 257, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 8),
        feedForward: .init(hiddenSize: 16, intermediateSize: 24, unit: .masked(.init(count: 2))),
        contextLength: context, endOfText: [256]), on: CPUBackend(threads: 1))
    decoder.initialise(seed: 2)
    return decoder
  }

  /// What the full forward pass finds most probable; of equal ones the lowest id.
  static func likeliest(after ids: [Int32], by decoder: Decoder) -> Int32? {
    let last = decoder.logits(ids).suffix(257)
    let best = last.indices.max { (last[$0], $1) < (last[$1], $0) }
    return best.map { Int32($0 - last.startIndex) }
  }

  @Test func greedyTokensAreThoseOfTheFullForward() throws {
    let decoder = try Self.decoder()
    let generator = try TokenGenerator(
      InferenceDecoder(decoder), tokenizer: .bytes, prompt: "ab", maximumTokens: 20)
    var ids = Tokenizer.bytes.encode("ab")
    var count = 0
    while let token = try generator.next() {
      #expect(token.id == Self.likeliest(after: ids, by: decoder), "token \(count)")
      ids.append(token.id)
      count += 1
    }
    #expect(count == 20)
  }

  @Test func equalSeedsWriteEqualTexts() async throws {
    func text(seed: UInt64) async throws -> String {
      let generator = try TokenGenerator(
        InferenceDecoder(Self.decoder()), tokenizer: .bytes, prompt: "x", maximumTokens: 20,
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
    let decoder = try Self.decoder(context: 5)
    let generator = try TokenGenerator(
      InferenceDecoder(decoder), tokenizer: .bytes, prompt: "abcde", maximumTokens: 40)
    var window = Tokenizer.bytes.encode("abcde")
    var count = 0
    while let token = try generator.next() {
      #expect(token.id == Self.likeliest(after: window, by: decoder), "token \(count)")
      window.append(token.id)
      if window.count > 5 { window = window.suffix(2) }
      count += 1
    }
    #expect(count == 40)
  }

  @Test func endOfTextEndsTheText() throws {
    let decoder = try Self.decoder()
    // The embedding row of the end decides: tied to the head, it wins every comparison.
    decoder.weights.norm.assign([Float](repeating: 0, count: 16))
    let generator = try TokenGenerator(
      InferenceDecoder(decoder), tokenizer: .bytes, prompt: "a", maximumTokens: 4)
    // All logits are 0: the lowest id is taken, which is content.
    #expect(try generator.next()?.id == 0)
    var configuration = decoder.configuration
    configuration.endOfText = [0]
    let ending = try Decoder(configuration, on: decoder.backend)
    let stopped = try TokenGenerator(
      InferenceDecoder(ending), tokenizer: .bytes, prompt: "a", maximumTokens: 4)
    #expect(try stopped.next() == nil)
    #expect(try stopped.next() == nil)
  }

  @Test func impossibleRequestsAreRefused() throws {
    let decoder = try Self.decoder(context: 3)
    func code(_ prompt: String, tokens: Int = 1, temperature: Float = 0) -> GenerationProblem? {
      #expect(throws: GenerationError.self) {
        try TokenGenerator(
          InferenceDecoder(decoder), tokenizer: .bytes, prompt: prompt, maximumTokens: tokens,
          sampling: .init(temperature: temperature))
      }?.code
    }
    #expect(code("four") == .contextLength)
    #expect(code("a", tokens: -1) == .sampling)
    #expect(code("a", temperature: -.infinity) == .sampling)
  }

  @Test func cancellingEndsTheStream() async throws {
    let generator = try TokenGenerator(
      InferenceDecoder(Self.decoder()), tokenizer: .bytes, prompt: "a", maximumTokens: 1_000_000_000
    )
    let task = Task {
      var count = 0
      for try await _ in TokenStream(generator) { count += 1 }
      return count
    }
    try await Task.sleep(for: .milliseconds(20))
    task.cancel()
    #expect(try await task.value < 1_000_000_000)
  }
}
