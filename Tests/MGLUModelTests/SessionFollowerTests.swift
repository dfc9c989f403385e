import MGLUModel
import MGLUReference
import MGLUTestSupport
import Testing

/// Sessions of rank 0, which the other ranks of a shared model follow.
@Suite struct SessionFollowerTests {
  private static func model() throws -> LanguageModel {
    try .drawn(
      ModelConfiguration(
        vocabularySize: 41, layers: 2, attention: .init(heads: 6, kvHeads: 3, headSize: 16),
        feedForward: .init(
          hiddenSize: 23, intermediateSize: 200, unit: .mglu(.init(count: 3, routerTopK: 2))),
        contextLength: 300), on: CPUBackend(threads: 1))
  }

  /// What `body` makes of a model on rank 0.
  private static func onRanks<Result: Sendable>(
    _ ranks: Int, _ model: LanguageModel,
    _ body: @escaping @Sendable (InferenceModel) throws -> Result
  ) throws -> Result {
    let results = try withRanks(ranks) { group -> Result? in
      let backend = try CPUBackend(threads: 1)
      let share = try InferenceModel(
        model.configuration, from: model, on: backend,
        communicator: backend.communicator(of: group))
      guard group.isLeader else {
        try SessionFollower(share).run()
        return nil
      }
      let result = try body(share)
      try share.endFollowers()
      return result
    }.map { try $0.get() }
    return try #require(results[0])
  }

  /// Requests of every kind: prompts that begin alike, and one that is another's.
  private static let requests: [GenerationRequest] = {
    let prompt = (0..<200).map { Int32($0 * 17 % 41) }
    var requests = [7, 140, 200, 200, 131].enumerated().map { index, count in
      GenerationRequest(
        prompt: Array(prompt.prefix(count)), maxTokens: 12,
        sampling: .init(temperature: index % 2 == 0 ? 0 : 0.9, seed: .max - UInt64(index)))
    }
    requests[1].sampling.repetitionPenalty = 1.3
    requests[1].sampling.logitBias = [3: -100, 5: 1.25]
    requests[2].topLogprobs = 2
    requests[3].sampling.topP = 0.8
    requests[4].stopTokenIDs = [1]
    requests[4].minTokens = 3
    return requests
  }()

  /// The tokens of some requests side by side; the last one is removed after some steps.
  private static func tokens(
    _ session: InferenceSession, _ requests: [GenerationRequest], removesLast: Bool = false
  ) throws -> [[Int32]] {
    let ids = try requests.map { try session.insert($0) }
    var tokens: [SequenceID: [Int32]] = [:]
    var steps = 0
    while !session.isIdle {
      for output in try session.next() where output.failure == nil {
        tokens[output.id, default: []] += output.token.map { [$0] } ?? []
      }
      steps += 1
      if removesLast, steps == 5 { session.remove(ids[ids.count - 1]) }
    }
    return ids.map { tokens[$0, default: []] }
  }

  /// Each is what it is alone, and what a session of one rank has: no two logits of these are as near to each
  /// other as sums in another order.
  @Test(arguments: [2, 3]) func tokensAreThoseOfOneRank(ranks: Int) throws {
    let model = try Self.model()
    let found = try Self.onRanks(ranks, model) { share in
      let session = InferenceSession(share, maxSequences: 5, prefillChunkSize: 128)
      // Again, over what is left of the first in the cache.
      let together = try (0..<2).map { _ in
        try Self.tokens(session, Self.requests, removesLast: true)
      }
      let alone = try Self.requests.map {
        try Self.tokens(InferenceSession(share), [$0])[0]
      }
      return (together: together, alone: alone)
    }
    let expected = try Self.requests.map {
      try Self.tokens(InferenceSession(InferenceModel(model)), [$0])[0]
    }
    #expect(found.alone == expected)
    for together in found.together {
      #expect(together.dropLast() == expected.dropLast())
      #expect(together.last.map { expected[4].starts(with: $0) && $0.count < 5 } == true)
    }
  }

  /// What was sampled is what the reference expects: ranks that had other tokens would have other caches.
  @Test func greedyTokensAreTheReferences() throws {
    let model = try Self.model()
    let request = GenerationRequest(prompt: [1, 2, 3], maxTokens: 20)
    let tokens = try Self.onRanks(3, model) { share in
      try Self.tokens(InferenceSession(share), [request])[0]
    }
    let all = request.prompt + tokens
    let logits = ReferenceModel(model).logits(all, length: all.count)
    for (index, token) in tokens.enumerated() {
      let row = (0..<41).map { logits[request.prompt.count - 1 + index, $0] }
      #expect((row.max() ?? 0) - row[Int(token)] < 1e-4)
    }
  }

  /// What rank 0 is refused it may go on after, and the others with it.
  @Test func refusedCallsAreRefusedOnAllRanks() throws {
    let model = try Self.model()
    let tokens = try Self.onRanks(2, model) { share in
      let session = InferenceSession(share)
      for bad in [
        GenerationRequest(prompt: [], maxTokens: 1), .init(prompt: [41], maxTokens: 1),
        .init(prompt: [1], maxTokens: 1, sampling: .init(temperature: -1)),
      ] {
        #expect(throws: GenerationError.self) { try session.insert(bad) }
      }
      let id = try session.open()
      #expect(throws: GenerationError.self) { try session.insert(Self.requests[0]) }
      #expect(throws: GenerationError.self) { try session.append([41], to: id) }
      session.remove(id)
      #expect(throws: GenerationError.self) { try session.append([1], to: id) }
      return try Self.tokens(session, [Self.requests[0]])
    }
    #expect(
      try tokens == Self.tokens(InferenceSession(InferenceModel(model)), [Self.requests[0]]))
  }

  /// A rank that ends is named by what a session is asked for next.
  @Test func aLostRankIsNamed() throws {
    let model = try Self.model()
    let results = try withRanks(2) { group -> GenerationError? in
      let backend = try CPUBackend(threads: 1)
      let share = try InferenceModel(
        model.configuration, from: model, on: backend,
        communicator: backend.communicator(of: group))
      guard group.isLeader else {
        group.abandon("no power")
        return nil
      }
      while group.failure == nil {}
      let session = InferenceSession(share)
      let error = #expect(throws: GenerationError.self) { try session.insert(Self.requests[0]) }
      return error
    }
    let error = try #require(try results[0].get())
    #expect(error.code == .backend && error.message.contains("reports: no power"), "\(error)")
  }
}
