import MGLUServing
import MGLUServingTestSupport
import Synchronization
import Testing

/// Clients that wait get equal shares of an engine.
@Suite struct FairnessTests {
  private static func request(_ maxTokens: Int = 20) -> GenerationRequest {
    GenerationRequest(prompt: [72, 105], maxTokens: maxTokens)
  }

  /// One client's flood of sequences holds up another for about one of them.
  @Test func aFloodDelaysNobodyForLong() async throws {
    let engine = try ServedModel(settings: .init(maxSequences: 1)).engine
    var flood: [RequestHandle] = []
    for _ in 0..<100 {
      flood.append(
        try engine.submit(Array(repeating: Self.request(), count: 1024), client: "a"))
    }
    try engine.wait(until: "num_requests_running", is: 1)
    for client in ["b", "c", "b"] {
      let events = await RecordedEvents(try engine.submit([Self.request()], client: client))
      #expect(events.error == nil && events.ids(of: 0).count == 20)
    }
    // Few of 102,400 sequences were computed meanwhile; in order of arrival it would be all.
    #expect((engine.metric("num_requests_waiting") ?? 0) > 51_200)
    for handle in flood { handle.cancel() }
    engine.drain()
  }

  /// A request of many sequences does not hold up the same client's later ones.
  @Test func aClientsOwnRequestsTakeTurns() async throws {
    let engine = try ServedModel(settings: .init(maxSequences: 1)).engine
    // Millions of tokens: they are not done when this test has seen that the other is.
    let large = try engine.submit(Array(repeating: Self.request(590), count: 4096), client: "a")
    try engine.wait(until: "num_requests_running", is: 1)
    let events = await RecordedEvents(try engine.submit([Self.request()], client: "a"))
    #expect(events.ids(of: 0).count == 20)
    #expect(engine.metric("request_success_total") == 1)
    large.cancel()
    engine.drain()
  }

  /// Later requests, of its client or of others, do not keep one from its turn, however many come.
  @Test(arguments: [false, true])
  func nobodyStarves(othersAreNew: Bool) async throws {
    let engine = try ServedModel(settings: .init(maxSequences: 1)).engine
    // Computed while the others arrive.
    let first = try engine.submit([Self.request(590)], client: "first")
    let large = try engine.submit(Array(repeating: Self.request(), count: 3), client: "a")
    let isDone = Mutex(false)
    let reading = Task {
      _ = await RecordedEvents(large)
      isDone.withLock { $0 = true }
    }
    func submitted(_ index: Int) throws -> RequestHandle {
      try engine.submit([Self.request()], client: othersAreNew ? "\(index)" : "a")
    }
    var others = try (0..<8).map(submitted)
    // Its three sequences wait for some twenty others.
    for index in 8..<400 where !isDone.withLock({ $0 }) {
      _ = await RecordedEvents(others.removeFirst())
      others.append(try submitted(index))
    }
    #expect(isDone.withLock { $0 })
    first.cancel()
    large.cancel()
    await reading.value
    for handle in others { handle.cancel() }
    engine.drain()
  }

  /// Where the queue is full, the newcomer takes the place of the last request of who waits with most.
  @Test func aFullQueueHasRoomForOthers() async throws {
    let engine = try ServedModel(settings: .init(maxSequences: 1, maxQueued: 5)).engine
    // Of many sequences, so that it waits, and has begun, as long as this test wants.
    let running = try engine.submit(Array(repeating: Self.request(590), count: 64), client: "a")
    try engine.wait(until: "num_requests_running", is: 1)
    let waiting = try (0..<4).map { _ in try engine.submit([Self.request()], client: "a") }
    let error = #expect(throws: ServingError.self) {
      try engine.submit([Self.request()], client: "a")
    }
    #expect(error?.code == .queueFull)
    let other = try engine.submit([Self.request()], client: "b")
    running.cancel()
    #expect(await RecordedEvents(other).ids(of: 0).count == 20)
    #expect(await RecordedEvents(waiting[3]).error?.code == .queueFull)
    for handle in waiting.dropLast() {
      #expect(await RecordedEvents(handle).ids(of: 0).count == 20)
    }
    engine.drain()
  }
}
