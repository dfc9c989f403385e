import MGLUModel
import Testing

/// Sequences that share what their prompts begin with, over caches that hold few of them. The judge is
/// each sequence in a session of its own.
@Suite struct PrefixCacheTests {
  private static func model(window: Int? = nil) throws -> InferenceModel {
    let trained = try TokenGeneratorTests.model(context: 600)
    var configuration = trained.configuration
    configuration.attention.window = window
    let model = try LanguageModel(configuration, on: trained.backend)
    trained.backend.copy(trained.weights.arena.floats, into: model.weights.arena.floats)
    return try InferenceModel(model)
  }

  private static func session(
    _ model: InferenceModel, maxSequences: Int = 1, blocks: Int? = nil, chunk: Int? = nil,
    isPipelined: Bool
  ) -> InferenceSession {
    let session = InferenceSession(
      model, maxSequences: maxSequences, cacheBlocks: blocks, prefillChunkSize: chunk)
    session.isPipelined = isPipelined
    return session
  }

  /// A prompt whose first `shared` tokens are those of its `family`, and `count` in all.
  private static func prompt(_ family: Int, _ shared: Int, _ own: Int, _ count: Int) -> [Int32] {
    Array(
      (InferenceSessionTests.prompt(shared, family)
        + InferenceSessionTests.prompt(count, 50 + own)).prefix(count))
  }

  private static func run(
    _ request: GenerationRequest, _ session: InferenceSession
  ) throws -> [SequenceOutput] {
    let id = try session.insert(request)
    return try InferenceSessionTests.outputs(session)[id] ?? []
  }

  /// The same tokens and log-probabilities, bit for bit, whether what a prompt begins with is read or
  /// found, and as much found as there is: whole blocks, but never the last token.
  @Test(arguments: [false, true], [nil, 100])
  func hitsChangeNothing(isPipelined: Bool, window: Int?) throws {
    let model = try Self.model(window: window)
    let session = Self.session(model, isPipelined: isPipelined)
    let cases: [(prompt: [Int32], found: Int)] = [
      (Self.prompt(1, 300, 1, 310), 0), (Self.prompt(1, 300, 2, 310), 256),
      (Self.prompt(1, 300, 1, 310), 256), (Self.prompt(1, 128, 0, 128), 0),
      (Self.prompt(1, 129, 0, 129), 128), (Self.prompt(1, 100, 3, 500), 0),
      (Self.prompt(1, 100, 3, 500), 384), (Self.prompt(2, 300, 1, 256), 0),
      (Self.prompt(2, 300, 1, 256), 128),
    ]
    for (index, item) in cases.enumerated() {
      let request = GenerationRequest(
        prompt: item.prompt, maxTokens: 6, sampling: .init(temperature: 1, seed: UInt64(index)),
        topLogprobs: index % 2 == 0 ? 3 : nil, ignoresEOS: true)
      let found = try Self.run(request, session)
      let expected = try Self.run(request, Self.session(model, isPipelined: false))
      #expect(found.map(\.token) == expected.map(\.token), "case \(index)")
      #expect(found.map(\.logprob) == expected.map(\.logprob), "case \(index)")
      #expect(found.first?.sharedPromptTokens == item.found, "case \(index)")
    }
    // Log-probabilities of a prompt are those of reading it, so it is read.
    let request = GenerationRequest(
      prompt: cases[0].prompt, maxTokens: 1, topLogprobs: 1, promptLogprobs: true)
    let found = try Self.run(request, session)
    let expected = try Self.run(request, Self.session(model, isPipelined: false))
    #expect(found.first?.promptLogprobs == expected.first?.promptLogprobs)
    #expect(found.first?.promptLogprobs?.count == 310)
    #expect(found.first?.sharedPromptTokens == 0)
    #expect(session.cacheBlocks.used == 0)
  }

  /// Requests that arrive and leave at any step, over a cache of few blocks, with prompts read in any
  /// pieces: each gets what it gets alone.
  @Test(arguments: [false, true], [(128, 11), (256, 7), (600, 30)])
  func companyChangesNothing(isPipelined: Bool, size: (chunk: Int, blocks: Int)) throws {
    for window in [nil, 150] {
      let model = try Self.model(window: window)
      let session = Self.session(
        model, maxSequences: 5, blocks: size.blocks, chunk: size.chunk, isPipelined: isPipelined)
      var random = Philox(seed: 3, purpose: .sampling)
      func below(_ count: Int) -> Int { Int(random.nextUniform() * Float(count)) % count }
      var waiting = (0..<24).map { index in
        GenerationRequest(
          prompt: Self.prompt(
            below(2), [100, 128, 260, 400][below(4)], below(2), [60, 129, 257, 420][below(4)]),
          maxTokens: [0, 1, 7, 150][below(4)],
          sampling: .init(temperature: index % 2 == 0 ? 0 : 1.5, seed: UInt64(index)),
          ignoresEOS: true)
      }[...]
      var found: [SequenceID: [Int32]] = [:]
      var requests: [(id: SequenceID, request: GenerationRequest)] = []
      var removed: Set<SequenceID> = []
      while !session.isIdle || !waiting.isEmpty {
        while let request = waiting.first, session.hasRoom(for: request), below(3) > 0 {
          requests.append((try session.insert(request), request))
          waiting.removeFirst()
        }
        if below(12) == 0, !requests.isEmpty {
          let id = requests[requests.count - 1 - below(min(requests.count, 5))].id
          removed.insert(id)
          session.remove(id)
        }
        for output in try session.next() {
          found[output.id, default: []] += output.token.map { [$0] } ?? []
        }
      }
      #expect(requests.count == 24)
      for (id, request) in requests {
        let expected = try InferenceSessionTests.expected(model, request)
        let own = found[id] ?? []
        #expect(
          removed.contains(id) ? expected.starts(with: own) : own == expected,
          "\(request.prompt.count) tokens, seed \(request.sampling.seed), window \(window ?? 0)")
      }
      #expect(session.cacheBlocks.used == 0)
      #expect(session.freeSequences == 5)
    }
  }

  /// A sequence is refused where it may need more than is free, and runs when that is there again. More
  /// tokens than the context has room for are not reserved.
  @Test func whatDoesNotFitIsRefused() throws {
    let model = try Self.model()
    let session = Self.session(model, maxSequences: 4, blocks: 5, isPipelined: true)
    #expect(session.contextLength == 600)
    let long = GenerationRequest(
      prompt: InferenceSessionTests.prompt(200, 1), maxTokens: .max, ignoresEOS: true)
    let short = GenerationRequest(prompt: [1], maxTokens: 4, ignoresEOS: true)
    let id = try session.insert(long)
    #expect(session.cacheBlocks.used == 5)
    #expect(!session.hasRoom(for: short))
    let error = #expect(throws: GenerationError.self) { try session.insert(short) }
    #expect(error?.code == .sequences)
    let outputs = try InferenceSessionTests.outputs(session)[id] ?? []
    #expect(outputs.count == 401)
    #expect(outputs.last?.finishReason == .length)
    #expect(session.hasRoom(for: short))
    #expect(try Self.run(short, session).count == 4)
    // A cache of fewer blocks than the context has bounds the context.
    #expect(Self.session(model, blocks: 2, isPipelined: true).contextLength == 256)
  }
}
