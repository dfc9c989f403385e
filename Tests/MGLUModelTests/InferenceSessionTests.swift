import MGLUModel
import Testing

/// Sequences of a session, with the host one step behind and without. The judge is the host's
/// sampling from logits of a sequence that is fed token by token, in a session of its own.
@Suite struct InferenceSessionTests {
  static func model(context: Int = 600) throws -> InferenceModel {
    try InferenceModel(TokenGeneratorTests.model(context: context))
  }

  static func session(
    _ model: InferenceModel, maxSequences: Int = 1, isPipelined: Bool
  ) -> InferenceSession {
    let session = InferenceSession(model, maxSequences: maxSequences)
    session.isPipelined = isPipelined
    return session
  }

  static func prompt(_ count: Int, _ seed: Int) -> [Int32] {
    (0..<count).map { Int32(($0 * 17 + seed * 31) % 256) }
  }

  /// What a request comes to, by logits and the host's sampling alone.
  static func expected(_ model: InferenceModel, _ request: GenerationRequest) throws -> [Int32] {
    let session = InferenceSession(model)
    let sequence = try session.open()
    var (sampler, host) = (try Sampler(request.sampling), HostSampler())
    var (tokens, unread) = ([Int32](), request.prompt)
    for _ in 0..<request.maxTokens {
      let step = sampler.nextStep()
      var logits = try session.append(unread, to: sequence).array
      penalize(&logits, request, tokens, ends: model.configuration.eosTokenIDs)
      let token = host.token(of: logits.span, by: step)
      tokens.append(token)
      if model.configuration.eosTokenIDs.contains(token), !request.ignoresEOS { break }
      if request.stopTokenIDs.contains(token) { break }
      unread = [token]
    }
    return tokens
  }

  /// Changes logits as the definitions of a request's biases, penalties and ends say.
  private static func penalize(
    _ logits: inout [Float], _ request: GenerationRequest, _ tokens: [Int32], ends: [Int32]
  ) {
    let sampling = request.sampling
    for (id, bias) in sampling.logitBias { logits[Int(id)] += bias }
    if tokens.count < request.minTokens {
      for id in request.stopTokenIDs + (request.ignoresEOS ? [] : ends) {
        logits[Int(id)] = -.infinity
      }
    }
    for id in logits.indices {
      let count = tokens.count { $0 == Int32(id) }
      if count > 0 || request.prompt.contains(Int32(id)) {
        let x = logits[id]
        logits[id] = x > 0 ? x / sampling.repetitionPenalty : x * sampling.repetitionPenalty
      }
      if count > 0 {
        logits[id] -= sampling.presencePenalty + Float(count) * sampling.frequencyPenalty
      }
    }
  }

  /// Every output of `sequences`, by sequence, until none is left.
  static func outputs(_ session: InferenceSession) throws -> [SequenceID: [SequenceOutput]] {
    var outputs: [SequenceID: [SequenceOutput]] = [:]
    while !session.isIdle {
      for output in try session.next() { outputs[output.id, default: []].append(output) }
    }
    return outputs
  }

  static func requests(ignoresEOS: Bool = true) -> [GenerationRequest] {
    [(3, 12), (540, 5), (1, 20), (256, 9), (257, 3), (40, 0), (7, 1), (512, 8)].enumerated().map {
      var request = GenerationRequest(
        prompt: prompt($1.0, $0), maxTokens: $1.1,
        sampling: .init(temperature: $0 % 3 == 0 ? 0 : 1.5, topK: 40, seed: UInt64($0)),
        ignoresEOS: ignoresEOS)
      if $0 % 3 == 2 {
        request.sampling.repetitionPenalty = 1.25
        request.sampling.presencePenalty = 0.5
        request.sampling.frequencyPenalty = 0.25
      }
      if $0 % 4 == 3 {
        // Half of all tokens end the sequence, and must not for a while.
        request.minTokens = 4
        request.stopTokenIDs = (0..<128).map { 2 * $0 }
        if $0 == 7 { request.sampling.logitBias = [7: 4, 9: -100] }
      }
      return request
    }
  }

  @Test(arguments: [false, true], [1, 3, 8])
  func sequencesGetInCompanyWhatTheyGetAlone(isPipelined: Bool, maxSequences: Int) throws {
    let model = try Self.model()
    let session = Self.session(model, maxSequences: maxSequences, isPipelined: isPipelined)
    var waiting = Self.requests()[...]
    var found: [SequenceID: [Int32]] = [:]
    var requests: [SequenceID: GenerationRequest] = [:]
    while !session.isIdle || !waiting.isEmpty {
      // One more with every step, as long as there is room.
      if session.freeSequences > 0, let request = waiting.popFirst() {
        requests[try session.insert(request)] = request
      }
      for output in try session.next() {
        found[output.id, default: []] += output.token.map { [$0] } ?? []
      }
    }
    #expect(found.count == Self.requests().count)
    for (id, request) in requests {
      #expect(try found[id] == Self.expected(model, request), "\(request.prompt.count) tokens")
    }
  }

  /// Sequences that end early, or are taken away amid a step that is under way, change no other.
  @Test(arguments: [false, true]) func sequencesMayEndAtAnyStep(isPipelined: Bool) throws {
    let model = try Self.model()
    let session = Self.session(model, maxSequences: 3, isPipelined: isPipelined)
    let request = GenerationRequest(
      prompt: [1, 2, 3], maxTokens: 12, sampling: .init(temperature: 1, seed: 5), ignoresEOS: true)
    let expected = try Self.expected(model, request)
    for step in 0..<6 {
      let others = try [8, 9].map {
        try session.insert(GenerationRequest(prompt: [$0, 4], maxTokens: 30, ignoresEOS: true))
      }
      let id = try session.insert(request)
      var found: [Int32] = []
      for index in 0..<12 {
        if index == step { session.remove(others[0]) }
        if index == step + 2 { session.remove(others[1]) }
        found += try session.next().filter { $0.id == id }.compactMap(\.token)
      }
      #expect(found == expected, "removed at step \(step)")
      #expect(session.isIdle)
      #expect(session.freeSequences == 3)
    }
  }

  /// Sequences of one prompt share its prefill, whoever of them is taken away; the log-probabilities
  /// of prompt and tokens are those of each alone.
  @Test(arguments: [0, 1, 6], [false, true])
  func equalPromptsArePrefilledOnce(maxTokens: Int, removesLeader: Bool) throws {
    let model = try Self.model()
    let session = Self.session(model, maxSequences: 4, isPipelined: true)
    func request(_ seed: Int) -> GenerationRequest {
      GenerationRequest(
        prompt: Self.prompt(300, 1), maxTokens: maxTokens,
        sampling: .init(temperature: 1, seed: UInt64(seed)), topLogprobs: 2, promptLogprobs: true,
        ignoresEOS: true)
    }
    let ids = try (0..<4).map { try session.insert(request($0)) }
    if removesLeader {
      #expect(try session.next().isEmpty)
      session.remove(ids[0])
    }
    let found = try Self.outputs(session)
    for (index, id) in ids.enumerated() where !(removesLeader && index == 0) {
      let alone = Self.session(model, isPipelined: false)
      let other = try alone.insert(request(index))
      let (outputs, expected) = (found[id] ?? [], try Self.outputs(alone)[other] ?? [])
      #expect(outputs.map(\.token) == expected.map(\.token))
      #expect(outputs.map(\.logprob) == expected.map(\.logprob))
      #expect(outputs.map(\.promptLogprobs) == expected.map(\.promptLogprobs))
      #expect(outputs.first?.promptLogprobs?.map(\.id) == Self.prompt(300, 1))
      #expect(outputs.last?.finishReason == .length)
      let isFirst = index == (removesLeader ? 1 : 0)
      #expect(outputs.first?.sharedPromptTokens == (isFirst ? 0 : 300))
    }
  }

  /// Every token of a prompt has an element, also where the first is the only one.
  @Test(arguments: [1, 2, 257]) func everyPromptTokenHasALogprob(count: Int) throws {
    let session = Self.session(try Self.model(), isPipelined: true)
    let id = try session.insert(
      GenerationRequest(
        prompt: Self.prompt(count, 3), maxTokens: 1, topLogprobs: 1, promptLogprobs: true))
    let logprobs = try #require(try Self.outputs(session)[id]?.first?.promptLogprobs)
    #expect(logprobs.map(\.id) == Self.prompt(count, 3))
    #expect(logprobs.map { $0.logprob == nil } == (0..<count).map { $0 == 0 })
  }

  /// A sequence ends with the context, and no step begins that does not fit.
  @Test(arguments: [false, true]) func aFullContextEndsTheSequence(isPipelined: Bool) throws {
    let session = Self.session(try Self.model(context: 24), isPipelined: isPipelined)
    for _ in 0..<2 {
      let id = try session.insert(
        GenerationRequest(prompt: [1, 2], maxTokens: 1000, ignoresEOS: true))
      let outputs = try Self.outputs(session)[id] ?? []
      #expect(outputs.count == 23)
      #expect(outputs.last?.finishReason == .length)
    }
  }

  @Test func eosTokensEndSequencesUnlessIgnored() throws {
    let trained = try TokenGeneratorTests.model(context: 600)
    let prompt: [Int32] = [9, 8, 7]
    let request = GenerationRequest(
      prompt: prompt, maxTokens: 12, sampling: .init(temperature: 1, seed: 3))
    let free = try Self.expected(InferenceModel(trained), request)
    var configuration = trained.configuration
    configuration.eosTokenIDs = [free[5]]
    let ending = try LanguageModel(configuration, on: trained.backend)
    trained.backend.copy(trained.weights.arena.floats, into: ending.weights.arena.floats)
    let model = try InferenceModel(ending)
    let first = try #require(free.firstIndex(of: free[5]))
    for (ignoresEOS, expected) in [(false, Array(free[...first])), (true, free)] {
      let session = Self.session(model, isPipelined: true)
      var request = request
      request.ignoresEOS = ignoresEOS
      let id = try session.insert(request)
      let outputs = try Self.outputs(session)[id] ?? []
      #expect(outputs.compactMap(\.token) == expected)
      #expect(outputs.last?.finishReason == (ignoresEOS ? .length : .stop))
    }
  }

  /// Sequences fed by the caller and generated ones do not disturb each other.
  @Test(arguments: [false, true]) func sequencesMayBeFedBesideOthers(isPipelined: Bool) throws {
    let model = try Self.model()
    let session = Self.session(model, maxSequences: 3, isPipelined: isPipelined)
    let judge = InferenceSession(model)
    let (fed, other) = (try session.open(), try judge.open())
    let requests = Self.requests().prefix(2)
    let ids = try requests.map { try session.insert($0) }
    var found: [SequenceID: [Int32]] = [:]
    for index in 0..<20 {
      for output in try session.next() {
        found[output.id, default: []] += output.token.map { [$0] } ?? []
      }
      let tokens = Self.prompt(index % 3 + 1, index)
      let expected = try judge.append(tokens, to: other).array
      #expect(try session.append(tokens, to: fed).array == expected)
    }
    for (id, request) in zip(ids, requests) {
      #expect(try found[id] == Self.expected(model, request))
    }
  }

  /// Logits that are no numbers end the sequence that has them, and the session can be used again.
  @Test(arguments: [false, true]) func damagedWeightsAreTold(isPipelined: Bool) throws {
    let trained = try TokenGeneratorTests.model(context: 600)
    let session = Self.session(try InferenceModel(trained), isPipelined: isPipelined)
    let request = GenerationRequest(prompt: [5], maxTokens: 3, ignoresEOS: true)
    func tokens() throws -> [SequenceOutput] {
      let id = try session.insert(request)
      return try Self.outputs(session)[id] ?? []
    }
    let expected = try tokens().map(\.token)
    let norm = trained.weights.norm.array
    trained.weights.norm.assign([Float](repeating: .nan, count: norm.count))
    let damaged = try tokens()
    #expect(damaged.count == 1)
    #expect(damaged.first?.failure?.code == .notFinite)
    #expect(damaged.first?.token == nil)
    trained.weights.norm.assign(norm)
    #expect(try tokens().map(\.token) == expected)
  }

  @Test func impossibleRequestsAreRefused() throws {
    let session = Self.session(try Self.model(context: 24), isPipelined: true)
    func code(_ request: GenerationRequest) -> GenerationProblem? {
      #expect(throws: GenerationError.self) { try session.insert(request) }?.code
    }
    #expect(code(.init(prompt: [], maxTokens: 1)) == .emptyPrompt)
    #expect(code(.init(prompt: Self.prompt(25, 0), maxTokens: 1)) == .contextLength)
    #expect(code(.init(prompt: [257], maxTokens: 1)) == .tokenID)
    #expect(code(.init(prompt: [1], maxTokens: -1)) == .sampling)
    for count in [-1, 1_000_000] {
      #expect(code(.init(prompt: [1], maxTokens: 1, topLogprobs: count)) == .sampling)
    }
    #expect(code(.init(prompt: [1], maxTokens: 1, sampling: .init(topP: -0.5))) == .sampling)
    let id = try session.insert(.init(prompt: [1], maxTokens: 1))
    #expect(code(.init(prompt: [1], maxTokens: 1)) == .sequences)
    let error = #expect(throws: GenerationError.self) { try session.append([1], to: id) }
    #expect(error?.code == .sequences)
    session.remove(id)
    session.remove(id)
    let fed = try session.open()
    _ = try session.append(Self.prompt(24, 0), to: fed)
    let full = #expect(throws: GenerationError.self) { try session.append([1], to: fed) }
    #expect(full?.code == .contextLength)
  }
}
