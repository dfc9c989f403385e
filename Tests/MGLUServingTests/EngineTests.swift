import MGLUServing
import MGLUServingTestSupport
import Testing

@Suite struct EngineTests {
  static func prompt(_ index: Int) -> [Int32] {
    (0..<(1 + index * 47 % 580)).map { Int32(($0 * 31 + index * 7) % 256) }
  }

  /// Prompts of one prefill chunk and of several, and more sequences than run at once, or than the cache
  /// has blocks for: each takes up to five of 2^14 bytes, and one belongs to none.
  @Test(arguments: [nil, 8 << 14]) func aSequenceIsTheSameInAnyCompany(
    cacheBytes: Int?
  ) async throws {
    let served = try ServedModel(settings: .init(maxSequences: 5, cacheBytes: cacheBytes))
    let generated = try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
      for index in 0..<24 {
        group.addTask {
          let request = GenerationRequest(prompt: Self.prompt(index), maxTokens: 6 + index % 9)
          return (index, try await served.generate(request))
        }
      }
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    for index in 0..<24 {
      let expected = try served.greedy(Self.prompt(index), count: 6 + index % 9)
      #expect(generated[index] == expected, "sequence \(index)")
    }
    #expect(served.engine.metric("kv_cache_blocks") == (cacheBytes == nil ? 25 : 7))
    #expect(served.engine.metric("kv_cache_blocks_used") == 0)
  }

  /// A cache that does not hold one sequence of the whole context is refused, with what is missing.
  @Test func smallCachesAreRefused() throws {
    let error = #expect(throws: ServingError.self) {
      try ServedModel(settings: .init(cacheBytes: 5 << 14))
    }
    #expect(error?.code == .memory)
    #expect(error?.message.contains("600 tokens") == true)
    _ = try ServedModel(settings: .init(contextLength: 500, cacheBytes: 5 << 14))
  }

  /// What a prompt begins with is found though the sequence that read it has ended.
  @Test func beginningsOfPromptsAreFoundAgain() async throws {
    let served = try ServedModel()
    try await served.engine.waitUntilReady()
    let prompt = Self.prompt(11)
    for (tail, hits) in [([1, 2], 0), ([3], 512), ([1, 2], 1024)] as [([Int32], Int)] {
      let request = GenerationRequest(prompt: prompt + tail, maxTokens: 8)
      let found = try await served.generate(request)
      #expect(try served.greedy(request.prompt, count: 8) == found)
      #expect(served.engine.metric("prefix_cache_hits_total") == hits)
    }
    #expect(prompt.count == 518)
  }

  /// A model whose logits are NaN fails the request, however it samples, and the engine goes on.
  @Test(arguments: [0, 1] as [Float], [1, 3])
  func logitsThatAreNaNFailTheRequest(temperature: Float, copies: Int) async throws {
    let served = try ServedModel(isDamaged: true)
    let sequence = GenerationRequest(
      prompt: [1, 2], maxTokens: 4, sampling: .init(temperature: temperature))
    for _ in 0..<2 {
      let events = try await served.record(Array(repeating: sequence, count: copies))
      #expect(events.error?.code == .notFinite)
      #expect(events.error?.message.contains("number") == true)
      #expect(events.all.isEmpty)
    }
  }

  @Test func equalSeedsGenerateEqualSequences() async throws {
    let served = try ServedModel()
    func sequence(seed: UInt64) -> GenerationRequest {
      .init(prompt: [65, 66], maxTokens: 20, sampling: .init(temperature: 1, seed: seed))
    }
    let alone = try await served.generate(sequence(seed: 1))
    let together = try await served.record([
      sequence(seed: 2), sequence(seed: 1), sequence(seed: 1),
    ])
    #expect(together.ids(of: 1) == alone)
    #expect(together.ids(of: 2) == alone)
    #expect(together.ids(of: 0) != alone)
    #expect(together.finishReason(of: 0) == .length)
  }

  /// Seven sequences with two prompts: five start together, the others too late to share.
  @Test(arguments: [0, 1, 7]) func equalPromptsAreReadOnce(maxTokens: Int) async throws {
    let served = try ServedModel(settings: .init(maxSequences: 5))
    let sequences = (0..<7).map { index in
      GenerationRequest(
        prompt: Self.prompt(index < 4 ? 11 : 5), maxTokens: maxTokens,
        sampling: .init(temperature: 1, seed: UInt64(index)), topLogprobs: 2,
        promptLogprobs: true)
    }
    let together = try await served.record(sequences)
    for (index, sequence) in sequences.enumerated() {
      let alone = try await served.record([sequence])
      #expect(together.ids(of: index) == alone.ids(of: 0), "sequence \(index)")
      #expect(together.logprobs(of: index) == alone.logprobs(of: 0))
      let promptLogprobs = try #require(together.promptLogprobs(of: index))
      #expect(promptLogprobs.count == sequence.prompt.count)
      #expect(promptLogprobs == alone.promptLogprobs(of: 0))
      #expect(together.finishReason(of: index) == .length)
    }
    let length = sequences[0].prompt.count
    #expect(length > 256)
    #expect(try #require(served.engine.metric("prefix_cache_hits_total")) >= 3 * length)
  }

  /// Two requests start together with one prompt. The second shares the first's prefill, and reads
  /// the prompt itself if the first is canceled before it has read it.
  @Test(arguments: 0..<8) func sharingSurvivesCancellation(delay: Int) async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 2, timeLimit: .seconds(300)), contextLength: 12_000)
    let sequence = GenerationRequest(
      prompt: (0..<2000).map { Int32($0 * 31 % 256) }, maxTokens: 5)
    // Before the engine runs: a backend serves one thread at a time.
    let expected = try served.greedy(sequence.prompt, count: 5)
    let blocker = try served.engine.submit(
      (1...2).map { GenerationRequest(prompt: [$0], maxTokens: 11_999) })
    try served.engine.wait(until: "num_requests_running", is: 2)
    let first = try served.engine.submit([sequence])
    let second = try served.engine.submit([sequence])
    blocker.cancel()
    if delay > 0 {
      try await Task.sleep(for: .microseconds(400 * delay))
      first.cancel()
    }
    #expect(await RecordedEvents(second).ids(of: 0) == expected)
    guard delay == 0 else { return }
    #expect(await RecordedEvents(first).ids(of: 0) == expected)
    #expect(served.engine.metric("prefix_cache_hits_total") == 2000)
  }

  /// The log-probabilities of a prompt are those of its tokens read one by one, but for the last bits:
  /// sums of a prompt's rows may have another order.
  @Test func promptsHaveLogprobs() async throws {
    let served = try ServedModel()
    let prompt = Self.prompt(11)
    #expect(prompt.count > 256)
    let events = try await served.record([
      .init(prompt: prompt, maxTokens: 1, topLogprobs: 1, promptLogprobs: true)
    ])
    let found = try #require(events.promptLogprobs(of: 0))
    #expect(found.map(\.id) == prompt)
    #expect(found[0].logprob == nil)
    let session = InferenceSession(served.model)
    let sequence = try session.open()
    for index in 0..<prompt.count - 1 {
      let logits = try session.append([prompt[index]], to: sequence)
      let expected = TokenLogprob(
        of: prompt[index + 1], under: logits, top: 1, on: served.model.backend)
      let (own, theirs) = (found[index + 1], expected)
      #expect(own.id == theirs.id, "token \(index + 1)")
      let pairs =
        [(own.logprob, theirs.logprob)]
        + zip(own.alternatives, theirs.alternatives).map {
          (Optional($0.logprob), Optional($1.logprob))
        }
      #expect(own.alternatives.map(\.id) == theirs.alternatives.map(\.id), "token \(index + 1)")
      for (own, theirs) in pairs {
        #expect(abs(try #require(own) - #require(theirs)) < 1e-5, "token \(index + 1)")
      }
    }
    let token = try #require(events.logprobs(of: 0).first)
    #expect([token.id] == events.ids(of: 0))
    #expect(token.logprob == token.alternatives[0].logprob)
    #expect(events.finishReason(of: 0) == .length)
  }

  @Test func zeroTokensOnlyReadThePrompt() async throws {
    let served = try ServedModel()
    let events = try await served.record([
      .init(prompt: [1, 2, 3], maxTokens: 0, topLogprobs: 1, promptLogprobs: true),
      .init(prompt: [1], maxTokens: 0),
    ])
    #expect(events.promptLogprobs(of: 0)?.count == 3)
    #expect(events.promptLogprobs(of: 1)?.isEmpty == true)
    for sequence in 0..<2 {
      #expect(events.ids(of: sequence).isEmpty)
      #expect(events.finishReason(of: sequence) == .length)
    }
  }

  @Test func stopSequencesAndEOSTokensEndSequences() async throws {
    let served = try ServedModel()
    let ids = try served.greedy([72], count: 12)
    let text = Tokenizer.bytes.decode(ids)
    let stop = String(text.unicodeScalars.dropFirst(3).prefix(2).map(Character.init))
    let stopped = try await served.record(
      [.init(prompt: [72], maxTokens: 12)], stopSequences: [stop, "never seen"])
    #expect(stopped.finishReason(of: 0) == .stop)
    #expect(!stopped.text(of: 0).contains(stop))
    #expect(text.hasPrefix(stopped.text(of: 0)))
    let ending = try ServedModel(eosTokenIDs: [ids[4]])
    let ended = try await ending.record([.init(prompt: [72], maxTokens: 12)])
    #expect(ended.finishReason(of: 0) == .stop)
    #expect(ended.ids(of: 0) == Array(ids[...(ids.firstIndex(of: ids[4]) ?? 4)]))
  }

  @Test func badRequestsAreRefused() async throws {
    let served = try ServedModel(contextLength: 32)
    let cases: [(GenerationRequest, ServingProblem)] = [
      (.init(prompt: [], maxTokens: 1), .emptyPrompt),
      (.init(prompt: [257], maxTokens: 1), .tokenID),
      (.init(prompt: [-1], maxTokens: 1), .tokenID),
      (.init(prompt: .init(repeating: 1, count: 33), maxTokens: 1), .contextLength),
      (.init(prompt: [1], maxTokens: 1, sampling: .init(topP: 2)), .sampling),
    ]
    for (request, code) in cases {
      let error = #expect(throws: ServingError.self) { try served.engine.submit([request]) }
      #expect(error?.code == code)
    }
  }

  /// A sequence ends when the context is full, and the engine goes on.
  @Test func sequencesEndWithTheContext() async throws {
    let served = try ServedModel(contextLength: 32)
    for (length, expected) in [(1, 32), (31, 2), (32, 1)] {
      let request = GenerationRequest(prompt: .init(repeating: 1, count: length), maxTokens: .max)
      let events = try await served.record([request])
      #expect(events.ids(of: 0).count == expected)
      #expect(events.finishReason(of: 0) == .length)
    }
  }

  @Test func aRequestWithoutSequencesEndsAtOnce() async throws {
    let events = try await ServedModel().record([])
    #expect(events.all.isEmpty && events.error == nil)
  }

  @Test func cachesThatDoNotFitInMemoryAreRefused() throws {
    for bytes in [1 << 60, .max] {
      let error = #expect(throws: ServingError.self) {
        try ServedModel(settings: .init(cacheBytes: bytes))
      }
      #expect(error?.code == .memory)
    }
  }

  /// A cache that fits in memory alone, and not beside the buffers of so many sequences: a row of 257 logits
  /// for each is more than is left, which is 1 MiB.
  @Test func buffersThatDoNotFitInMemoryAreRefused() throws {
    let bytes = Int(0.9 * Double(PhysicalMemory.byteCount)) - 1 << 20
    let error = #expect(throws: ServingError.self) {
      try ServedModel(
        settings: .init(maxSequences: EngineSettings.mostSequences, cacheBytes: bytes))
    }
    #expect(error?.code == .memory)
  }

  @Test(
    arguments: [
      (.init(maxSequences: .max), "maxSequences 9223372036854775807: expected at least 1 and"),
      (.init(maxSequences: 65_537), "65536"), (.init(maxSequences: 0), "maxSequences 0"),
      (.init(maxQueued: 0), "maxQueued 0"), (.init(contextLength: -1), "contextLength -1"),
      (.init(memoryUtilization: .infinity), "memoryUtilization inf"),
      (.init(memoryUtilization: .nan), "memoryUtilization nan"),
      (.init(memoryUtilization: 0), "more than 0 and at most 1"),
      (.init(memoryUtilization: -1), "-1"),
    ] as [(EngineSettings, String)])
  func settingsOutOfRangeAreRefused(settings: EngineSettings, words: String) throws {
    let devices: [any InferenceBackend] = [
      try CPUBackend(threads: 1), try FailingBackend(memory: (free: 1 << 34, total: 1 << 34)),
    ]
    for device in devices {
      let error = #expect(throws: ServingError.self) {
        try ServedModel(settings: settings, devices: [device])
      }
      #expect(error?.code == .settings)
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
  }

  /// A session has no more sequences than any memory would hold, and sizes for more do not overflow.
  @Test func sizesOfSessionsDoNotOverflow() throws {
    let model = try ServedModel().model
    #expect(
      model.sessionByteCount(maxSequences: .max)
        == model.sessionByteCount(maxSequences: InferenceSession.mostSequences))
  }

  @Test func aFullQueueRefuses() async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 1, maxQueued: 2), contextLength: 12_000)
    var requests: [RequestHandle] = []
    var refusals: [ServingError] = []
    // Nothing else starts while the first runs.
    let lengths = [11_999] + [Int](repeating: 500, count: 7)
    for length in lengths {
      do {
        requests.append(try served.engine.submit([.init(prompt: [1], maxTokens: length)]))
      } catch { refusals.append(error) }
    }
    #expect(refusals.count >= 5)
    #expect(refusals.allSatisfy { $0.code == .queueFull })
    for (request, length) in zip(requests, lengths) {
      #expect(await RecordedEvents(request).all.count == length + 2)
    }
  }

  /// The limit of the queue is a number of requests; the metrics count sequences.
  @Test func requestsWaitUntilTheirLastSequenceStarts() async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 1, maxQueued: 2), contextLength: 12_000)
    // The first sequence runs for as long as the test looks at the queue.
    let lengths = [[11_999, 20, 30], [20, 20, 20]]
    let requests = try lengths.map { lengths in
      try served.engine.submit(lengths.map { .init(prompt: [1], maxTokens: $0) })
    }
    let error = #expect(throws: ServingError.self) {
      try served.engine.submit([.init(prompt: [1], maxTokens: 1)])
    }
    #expect(error?.code == .queueFull)
    try served.engine.wait(until: "num_requests_waiting", is: 5)
    for (request, lengths) in zip(requests, lengths) {
      let events = await RecordedEvents(request)
      #expect(lengths.indices.map { events.ids(of: $0).count } == lengths)
    }
    #expect(served.engine.metric("num_requests_waiting") == 0)
  }

  @Test func releasedHandlesDropTheirRequests() async throws {
    let served = try ServedModel(settings: .init(maxSequences: 1), contextLength: 12_000)
    // The handle lives until the sequence runs.
    try withExtendedLifetime(
      served.engine.submit([.init(prompt: [1], maxTokens: 11_999)])
    ) {
      try served.engine.wait(until: "num_requests_running", is: 1)
    }
    #expect(try await served.generate(.init(prompt: [2], maxTokens: 3)).count == 3)
    // The long sequence has not finished.
    #expect(served.engine.metric("request_success_total") == 1)
  }

  @Test func cancellationEndsTheEvents() async throws {
    let served = try ServedModel(settings: .init(maxSequences: 1), contextLength: 12_000)
    let request = try served.engine.submit([.init(prompt: [1], maxTokens: 11_999)])
    try served.engine.wait(until: "num_requests_running", is: 1)
    request.cancel()
    try served.engine.wait(until: "num_requests_running", is: 0)
    let events = await RecordedEvents(request)
    #expect(events.error == nil)
    #expect(events.finishReason(of: 0) == nil)
    #expect(served.engine.metric("request_success_total") == 0)
  }

  @Test func waitingRequestsHaveATimeLimit() async throws {
    let served = try ServedModel(settings: .init(maxSequences: 1, timeLimit: .zero))
    let events = try await served.record([.init(prompt: [1], maxTokens: 590)])
    #expect(events.error?.code == .timeout)
    #expect(events.all.isEmpty)
    let metrics = served.engine.prometheusMetrics(model: "tiny")
    for (reason, count) in [("device", 0), ("timeout", 1), ("not_finite", 0), ("other", 0)] {
      let sample = #"mglu:request_failed_total{model_name="tiny",reason="\#(reason)"} \#(count)"#
      #expect(metrics.contains(sample + "\n"), "\(metrics)")
    }
  }

  /// All sequences run, and would take much longer than the limit.
  @Test func runningRequestsHaveATimeLimit() async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 64, timeLimit: .seconds(5)), contextLength: 6000)
    let sequence = GenerationRequest(prompt: [1], maxTokens: 5999)
    let events = try await served.record(.init(repeating: sequence, count: 64))
    #expect(events.error?.code == .timeout)
    #expect(!events.ids(of: 63).isEmpty)
    // The slots are free again.
    #expect(try await served.generate(.init(prompt: [1], maxTokens: 2)).count == 2)
    #expect(served.engine.metric("request_success_total") == 1)
  }

  @Test func drainingFinishesAcceptedRequests() async throws {
    let served = try ServedModel()
    let request = try served.engine.submit([.init(prompt: [1], maxTokens: 50)])
    served.engine.drain()
    let error = #expect(throws: ServingError.self) {
      try served.engine.submit([.init(prompt: [1], maxTokens: 1)])
    }
    #expect(error?.code == .draining)
    #expect(await RecordedEvents(request).ids(of: 0).count == 50)
  }
}
