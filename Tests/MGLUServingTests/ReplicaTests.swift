import MGLUServing
import MGLUServingTestSupport
import Testing

/// Several replicas of a model behind one queue.
@Suite struct ReplicaTests {
  /// A sequence that goes on for as long as a test wants, of a context of 12,000 tokens.
  private static let long = GenerationRequest(prompt: [1], maxTokens: 11_999)

  private static func waitUntilEachRuns(_ count: Int, of replicas: Int, _ engine: Engine) throws {
    for replica in 0..<replicas {
      try engine.wait(until: "num_requests_running", of: replica, is: count)
    }
  }

  /// More sequences than run at once, some sampled: each is what one model alone makes of it, whichever
  /// replica had it, and the replicas' parts of the metrics add up.
  @Test(arguments: [1, 2, 3]) func answersDoNotDependOnReplicas(replicas: Int) async throws {
    let settings = EngineSettings(maxSequences: 4)
    let served = try ServedModel(settings: settings, replicas: replicas)
    let alone = try ServedModel(settings: settings)
    let requests = (0..<30).map { index in
      GenerationRequest(
        prompt: EngineTests.prompt(index), maxTokens: 6 + index % 9,
        sampling: .init(temperature: index % 2 == 0 ? 0 : 1, seed: UInt64(index)))
    }
    let events = try await served.record(requests)
    #expect(events.error == nil)
    for (index, request) in requests.enumerated() {
      let expected = try await alone.record([request])
      #expect(events.ids(of: index) == expected.ids(of: 0), "sequence \(index)")
      #expect(events.text(of: index) == expected.text(of: 0))
    }
    for name in ["generation_tokens_total", "prompt_tokens_total", "kv_cache_blocks"] {
      let sum = try #require(served.engine.metric(name))
      let parts = (0..<replicas).map { served.engine.metric(name, of: $0) }
      // One has no parts.
      #expect(replicas == 1 ? parts == [nil] : parts.reduce(0) { $0 + ($1 ?? 0) } == sum, "\(name)")
    }
    #expect(
      served.engine.metric("generation_tokens_total") == requests.reduce(0) { $0 + $1.maxTokens })
  }

  /// Sequences that wait together go to all replicas alike, and what comes when all are full waits for one.
  @Test func allReplicasWork() async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 2), contextLength: 12_000, replicas: 3)
    let requests = try (0..<6).map { _ in try served.engine.submit([Self.long]) }
    try Self.waitUntilEachRuns(2, of: 3, served.engine)
    let next = try served.engine.submit([.init(prompt: [2], maxTokens: 7)])
    #expect(served.engine.metric("num_requests_running") == 6)
    requests[3].cancel()
    // Only one has ended: the place of the canceled one was enough. A thread that waits sees it at once; a
    // task may come to it only when others have ended.
    try served.engine.wait(until: "request_success_total", is: 1)
    for request in requests { request.cancel() }
    #expect(await RecordedEvents(next).ids(of: 0).count == 7)
    #expect(await RecordedEvents(requests[3]).finishReason(of: 0) == nil)
    try served.engine.wait(until: "num_requests_running", is: 0)
    #expect(served.engine.metric("kv_cache_blocks_used") == 0)
  }

  /// The next turn of a conversation goes where the one before it was read.
  @Test func promptsGoWhereTheirBeginningsWereRead() async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 3), contextLength: 12_000, replicas: 2)
    // Four blocks of 128 tokens and a little, and each other from the first on.
    let prompts = (0..<6).map { index in [Int32(index)] + EngineTests.prompt(11) }
    let first = try prompts.map {
      try served.engine.submit([.init(prompt: $0, maxTokens: 11_000)])
    }
    try Self.waitUntilEachRuns(3, of: 2, served.engine)
    var tokens = 0
    for request in first {
      for try await (_, event) in request {
        if case .token = event { break }
      }
      request.cancel()
      tokens += 519
    }
    try served.engine.wait(until: "num_requests_running", is: 0)
    #expect(served.engine.metric("prompt_tokens_total") == tokens)
    for (index, prompt) in prompts.enumerated() {
      _ = try await served.generate(.init(prompt: prompt + [7, 8, 9], maxTokens: 3))
      #expect(served.engine.metric("prefix_cache_hits_total") == 512 * (index + 1))
    }
  }

  /// All that was accepted is finished, by all.
  @Test func drainingFinishesWhatAllHave() async throws {
    let served = try ServedModel(
      settings: .init(maxSequences: 1), contextLength: 12_000, replicas: 2)
    let requests = try [1000, 1000, 5, 5, 5].map {
      try served.engine.submit([.init(prompt: [1], maxTokens: $0)])
    }
    try Self.waitUntilEachRuns(1, of: 2, served.engine)
    served.engine.drain()
    #expect(throws: ServingError.self) { try served.engine.submit([Self.long]) }
    for (request, count) in zip(requests, [1000, 1000, 5, 5, 5]) {
      #expect(await RecordedEvents(request).ids(of: 0).count == count)
    }
    await served.engine.waitUntilEnded()
    #expect(served.engine.metric("num_requests_running") == 0)
  }

  /// A failed device ends its own requests; the other goes on with its own, and takes what comes.
  @Test func aFailedDeviceEndsItsOwnRequests() async throws {
    let device = try FailingBackend()
    let served = try ServedModel(
      settings: .init(maxSequences: 1), contextLength: 12_000,
      devices: [CPUBackend(threads: 1), device])
    let expected = try served.greedy([2], count: 20)
    let running = try (0..<2).map { _ in try served.engine.submit([Self.long]) }
    try Self.waitUntilEachRuns(1, of: 2, served.engine)
    let waiting = try (0..<3).map { _ in
      try served.engine.submit([.init(prompt: [2], maxTokens: 20)])
    }
    device.fail()
    try served.engine.wait { served.engine.state == .impaired }
    #expect(served.engine.metric("num_requests_running", of: 0) == 1)
    #expect(served.engine.metric("num_requests_running", of: 1) == 0)
    for request in running { request.cancel() }
    var errors: [ServingProblem?] = []
    for request in running { errors.append(await RecordedEvents(request).error?.code) }
    #expect(errors == [.device, nil] || errors == [nil, .device])
    for request in waiting { #expect(await RecordedEvents(request).ids(of: 0) == expected) }
    served.engine.drain()
    await served.engine.waitUntilEnded()
    #expect(served.engine.state == .draining)
  }

  /// Where no device is left nothing waits in vain.
  @Test func theLastFailureEndsTheEngine() async throws {
    let devices = [try FailingBackend(), try FailingBackend()]
    let engine = try ServedModel(
      settings: .init(maxSequences: 1), contextLength: 12_000, devices: devices
    ).engine
    let requests = try (0..<3).map { _ in try engine.submit([Self.long]) }
    try Self.waitUntilEachRuns(1, of: 2, engine)
    for device in devices { device.fail() }
    try engine.wait { engine.state == .failed }
    for request in requests { #expect(await RecordedEvents(request).error?.code == .device) }
    let error = #expect(throws: ServingError.self) { try engine.submit([Self.long]) }
    #expect(error?.code == .device)
    await engine.waitUntilEnded()
  }

  /// The engine is ready when all replicas are; those that are compute meanwhile.
  @Test func allReplicasLoad() async throws {
    let device = try FailingBackend(compiles: true)
    let served = try ServedModel(devices: [CPUBackend(threads: 1), device])
    #expect(served.engine.state == .loading)
    #expect(try await served.generate(.init(prompt: [1], maxTokens: 5)).count == 5)
    #expect(served.engine.state == .loading)
    device.compile()
    try await served.engine.waitUntilReady()
    #expect(served.engine.state == .open)
    let requests = try (0..<2).map { _ in
      try served.engine.submit([.init(prompt: [1], maxTokens: 500)])
    }
    for request in requests { #expect(await RecordedEvents(request).ids(of: 0).count == 500) }
    #expect(try #require(served.engine.metric("generation_tokens_total", of: 1)) > 0)
  }

  /// A device that fails while it loads is told of at once.
  @Test func failuresOfLoadingAreTold() async throws {
    let device = try FailingBackend(compiles: true)
    let engine = try ServedModel(devices: [CPUBackend(threads: 1), device]).engine
    device.fail()
    device.compile()
    let error = await #expect(throws: ServingError.self) { try await engine.waitUntilReady() }
    #expect(error?.code == .device && error?.message == "out of order")
    #expect(engine.state == .impaired)
    engine.drain()
    await engine.waitUntilEnded()
  }

  /// Whoever waits for an engine that ends while it loads is told so, and an API over it serves nothing.
  @Test func drainingEndsTheLoading() async throws {
    let device = try FailingBackend(compiles: true)
    let engine = try ServedModel(devices: [device]).engine
    let waiting = Task { try await engine.waitUntilReady() }
    engine.drain()
    let error = await #expect(throws: ServingError.self) { try await waiting.value }
    #expect(error?.code == .draining)
    device.compile()
    await engine.waitUntilEnded()
    let later = await #expect(throws: ServingError.self) { try await engine.waitUntilReady() }
    #expect(later?.code == .draining)
  }

  /// The replicas of a CPU read the same memory; those of other devices do not.
  @Test func weightsAreInMemoryOnce() throws {
    let model = try ServedModel().model
    let replica = try model.replica(on: CPUBackend(threads: 1))
    #expect(replica.backend !== model.backend && !model.matrices.isEmpty)
    for (own, other) in zip(model.matrices, replica.matrices) {
      #expect(own.bytes.baseAddress == other.bytes.baseAddress)
    }
    let trained = try LanguageModel(model.configuration, on: CPUBackend(threads: 1))
    let elsewhere = try InferenceModel(
      model.configuration, from: trained, on: FailingBackend())
    let error = #expect(throws: BackendError.self) {
      try elsewhere.replica(on: CPUBackend(threads: 1))
    }
    #expect(error?.code == .operation)
  }
}
