import MGLUModel
import MGLUServer
import Testing

@Suite struct EngineTests {
  static func prompt(_ index: Int) -> [Int32] {
    (0..<(1 + index * 47 % 580)).map { Int32(($0 * 31 + index * 7) % 256) }
  }

  /// More texts than run at once, prompts of one piece and of several: everyone gets what they would
  /// get alone.
  @Test func answersAreThoseOfATextAlone() async throws {
    let model = try ServedModel(settings: .init(mostTexts: 5))
    let written = try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
      for index in 0..<24 {
        group.addTask {
          (
            index,
            try await model.written(.init(prompt: Self.prompt(index), maximumTokens: 6 + index % 9))
          )
        }
      }
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    for index in 0..<24 {
      let expected = try model.greedy(Self.prompt(index), count: 6 + index % 9)
      #expect(written[index] == expected, "text \(index)")
    }
  }

  /// A model whose logits are no numbers fails the request, whatever it asks for, and no other.
  @Test(arguments: [0, 1] as [Float], [1, 3])
  func nothingIsMadeOfNoNumbers(temperature: Float, copies: Int) async throws {
    let model = try ServedModel(isDamaged: true)
    let text = TextRequest(
      prompt: [1, 2], maximumTokens: 4, sampling: .init(temperature: temperature))
    for _ in 0..<2 {
      let events = try await model.events(Array(repeating: text, count: copies))
      #expect(events.failure?.status == 500)
      #expect(events.failure?.message.contains("number") == true)
      #expect(events.count == 1)
    }
  }

  @Test func equalSeedsWriteEqualTextsInAnyCompany() async throws {
    let model = try ServedModel()
    func text(seed: UInt64) -> TextRequest {
      .init(
        prompt: [65, 66], maximumTokens: 20, sampling: .init(temperature: 1, seed: seed))
    }
    let alone = try await model.written(text(seed: 1))
    let together = try await model.events([text(seed: 2), text(seed: 1), text(seed: 1)])
    #expect(together.ids(of: 1) == alone)
    #expect(together.ids(of: 2) == alone)
    #expect(together.ids(of: 0) != alone)
    #expect(together.reason(of: 0) == .length)
  }

  /// Equal prompts of a request are read once, and everyone gets what they would get alone. Of more
  /// texts than run at once some come too late for that.
  @Test(arguments: [0, 1, 7]) func equalPromptsAreReadOnce(tokens: Int) async throws {
    let model = try ServedModel(settings: .init(mostTexts: 5))
    func text(_ index: Int, seed: UInt64) -> TextRequest {
      .init(
        prompt: Self.prompt(index), maximumTokens: tokens,
        sampling: .init(temperature: 1, seed: seed), topScores: 2, scoresPrompt: true)
    }
    let texts = (0..<7).map { text($0 < 4 ? 11 : 5, seed: UInt64($0)) }
    let together = try await model.events(texts)
    for (index, text) in texts.enumerated() {
      let alone = try await model.events([text])
      #expect(together.ids(of: index) == alone.ids(of: 0), "text \(index)")
      #expect(together.promptScores(of: index) == alone.promptScores(of: 0))
      #expect(together.reason(of: index) == .length)
    }
    let length = texts[0].prompt.count
    #expect(length > 256)
    #expect(try #require(model.metric("prefix_cache_hits_total")) >= 3 * length)
  }

  /// The scores of a prompt are those of its tokens read one by one.
  @Test func promptsAreScored() async throws {
    let model = try ServedModel()
    let prompt = Self.prompt(11)
    #expect(prompt.count > 256)
    let events = try await model.events([
      .init(prompt: prompt, maximumTokens: 1, topScores: 1, scoresPrompt: true)
    ])
    guard case .text(0, .prompt(let scores)) = events.first else {
      Issue.record("no prompt")
      return
    }
    #expect(scores.map(\.id) == prompt)
    #expect(scores[0].logprob == nil)
    let session = DecodingSession(model.decoder)
    let scorer = TokenScorer(on: model.decoder.backend.host)
    for index in 0..<prompt.count - 1 {
      let logits = try session.append([prompt[index]])
      let expected = logits.withFloats { scorer.score(prompt[index + 1], under: $0, top: 1) }
      #expect(scores[index + 1] == expected, "token \(index + 1)")
    }
    guard case .text(0, .token(let id, _, let score?)) = events[1] else {
      Issue.record("no token")
      return
    }
    #expect(score.id == id)
    #expect(score.logprob == score.alternatives[0].logprob)
    #expect(events.reason(of: 0) == .length)
  }

  @Test func nothingIsWrittenWhereNothingIsWanted() async throws {
    let model = try ServedModel()
    let events = try await model.events([
      .init(prompt: [1, 2, 3], maximumTokens: 0, topScores: 1, scoresPrompt: true),
      .init(prompt: [1], maximumTokens: 0),
    ])
    #expect(events.ids(of: 0).isEmpty)
    #expect(events.promptScores(of: 0).count == 3)
    #expect(events.reason(of: 0) == .length)
    #expect(events.reason(of: 1) == .length)
  }

  @Test func stopTextsAndEndsOfTextEndTexts() async throws {
    let model = try ServedModel()
    let ids = try model.greedy([72], count: 12)
    let all = Tokenizer.bytes.decode(ids)
    let stop = String(all.unicodeScalars.dropFirst(3).prefix(2).map(Character.init))
    let stopped = try await model.events([
      .init(prompt: [72], maximumTokens: 12, stops: [stop, "never seen"])
    ])
    #expect(stopped.reason(of: 0) == .stop)
    #expect(!stopped.text(of: 0).contains(stop))
    #expect(all.hasPrefix(stopped.text(of: 0)))
    let ending = try ServedModel(end: [ids[4]])
    let ended = try await ending.events([.init(prompt: [72], maximumTokens: 12)])
    #expect(ended.reason(of: 0) == .stop)
    #expect(ended.ids(of: 0) == Array(ids[...(ids.firstIndex(of: ids[4]) ?? 4)]))
  }

  @Test func whatCannotBeReadIsRefused() async throws {
    let model = try ServedModel(context: 32)
    for prompt: [Int32] in [[], [257], [-1], [Int32](repeating: 1, count: 33)] {
      #expect(throws: APIError.self) {
        try model.engine.submit([.init(prompt: prompt, maximumTokens: 1)])
      }
    }
    #expect(
      try await model.written(.init(prompt: .init(repeating: 1, count: 32), maximumTokens: 1)).count
        == 1)
  }

  @Test func aFullQueueRefuses() async throws {
    let model = try ServedModel(settings: .init(mostTexts: 1, mostWaiting: 2), context: 12_000)
    var streams: [AsyncStream<RequestEvent>] = []
    var refusals: [APIError] = []
    // While the first is written nobody else's turn comes.
    let lengths = [11_999] + [Int](repeating: 500, count: 7)
    for length in lengths {
      do {
        let text = TextRequest(prompt: [1], maximumTokens: length)
        streams.append(try model.engine.submit([text]).events)
      } catch { refusals.append(error) }
    }
    #expect(refusals.count >= 5)
    #expect(refusals.allSatisfy { $0.status == 429 && $0.retryAfter != nil })
    for (stream, length) in zip(streams, lengths) {
      var count = 0
      for await _ in stream { count += 1 }
      #expect(count == length + 2)
    }
  }

  /// The queue's bound is one of requests, however many texts they have; what is counted is texts.
  @Test func requestsWaitUntilTheirLastTextBegins() async throws {
    let model = try ServedModel(settings: .init(mostTexts: 1, mostWaiting: 2), context: 12_000)
    // The first text is long enough to look around for as long as it is written.
    let lengths = [[11_999, 20, 30], [20, 20, 20]]
    let streams = try lengths.map { lengths in
      try model.engine.submit(lengths.map { .init(prompt: [1], maximumTokens: $0) }).events
    }
    #expect(throws: APIError.queueFull) {
      try model.engine.submit([.init(prompt: [1], maximumTokens: 1)])
    }
    try model.wait(until: "num_requests_waiting", is: 5)
    for (stream, lengths) in zip(streams, lengths) {
      var events: [RequestEvent] = []
      for await event in stream { events.append(event) }
      #expect(lengths.indices.map { events.ids(of: $0).count } == lengths)
    }
    #expect(model.metric("num_requests_waiting") == 0)
  }

  @Test func whoeverGoesMakesRoom() async throws {
    let model = try ServedModel(settings: .init(mostTexts: 1), context: 12_000)
    let text = TextRequest(prompt: [1], maximumTokens: 11_999)
    // Nobody listens once it has begun.
    try withExtendedLifetime(model.engine.submit([text])) {
      try model.wait(until: "num_requests_running", is: 1)
    }
    #expect(try await model.written(.init(prompt: [2], maximumTokens: 3)).count == 3)
    // The long text was given up, not finished.
    #expect(model.metric("request_success_total") == 1)
  }

  /// The same where somebody still listens: the events end.
  @Test func whatIsGivenUpEnds() async throws {
    let model = try ServedModel(settings: .init(mostTexts: 1), context: 12_000)
    let (events, cancel) = try model.engine.submit([.init(prompt: [1], maximumTokens: 11_999)])
    try model.wait(until: "num_requests_running", is: 1)
    cancel()
    try model.wait(until: "num_requests_running", is: 0)
    var last: RequestEvent?
    for await event in events { last = event }
    if case .text(_, .finished) = last { Issue.record("the text was finished") }
    #expect(model.metric("request_success_total") == 0)
  }

  @Test func waitingRequestsHaveALimitOfTime() async throws {
    let model = try ServedModel(settings: .init(mostTexts: 1, timeLimit: .zero))
    let events = try await model.events([.init(prompt: [1], maximumTokens: 590)])
    #expect(events.failure == .timeout)
    #expect(events.count == 1)
  }

  /// Texts that have all begun, and would take far longer than they may.
  @Test func runningRequestsHaveALimitOfTime() async throws {
    let model = try ServedModel(
      settings: .init(mostTexts: 64, timeLimit: .seconds(2)), context: 6000)
    let text = TextRequest(prompt: [1], maximumTokens: 5999)
    let events = try await model.events(.init(repeating: text, count: 64))
    #expect(events.failure == .timeout)
    #expect(!events.ids(of: 63).isEmpty)
    // The places are free again.
    #expect(try await model.written(.init(prompt: [1], maximumTokens: 2)).count == 2)
    #expect(model.metric("request_success_total") == 1)
  }

  @Test func drainingFinishesWhatWasTaken() async throws {
    let model = try ServedModel()
    let stream = try model.engine.submit([.init(prompt: [1], maximumTokens: 50)]).events
    model.engine.drain()
    #expect(throws: APIError.stopping) {
      try model.engine.submit([.init(prompt: [1], maximumTokens: 1)])
    }
    var events: [RequestEvent] = []
    for await event in stream { events.append(event) }
    #expect(events.ids(of: 0).count == 50)
  }
}
