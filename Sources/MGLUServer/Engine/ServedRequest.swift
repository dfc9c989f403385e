import Synchronization

/// A client's request on its way: its texts run apart and report to one stream.
final class ServedRequest: Sendable {
  /// When it came.
  let arrival = ContinuousClock.now

  private let deadline: ContinuousClock.Instant
  private let events: AsyncStream<RequestEvent>.Continuation
  private let left: Atomic<Int>
  private let hasEnded = Atomic(false)
  private let metrics: ServerMetrics

  /// A request of `texts` texts, and the stream of what happens to it, which ends with it.
  static func make(
    texts: Int, timeLimit: Duration, metrics: ServerMetrics
  ) -> (request: ServedRequest, events: AsyncStream<RequestEvent>) {
    let (stream, continuation) = AsyncStream.makeStream(of: RequestEvent.self)
    let request = ServedRequest(continuation, texts, timeLimit, metrics)
    // Whoever stops listening has gone.
    continuation.onTermination = { [weak request] _ in request?.cancel() }
    return (request, stream)
  }

  private init(
    _ events: AsyncStream<RequestEvent>.Continuation, _ texts: Int, _ timeLimit: Duration,
    _ metrics: ServerMetrics
  ) {
    self.events = events
    left = Atomic(texts)
    deadline = arrival + timeLimit
    self.metrics = metrics
  }

  /// Whether nobody waits for it any more.
  var isOver: Bool { hasEnded.load(ordering: .relaxed) }

  func hasExpired(at now: ContinuousClock.Instant) -> Bool { now >= deadline }

  func send(_ event: RequestEvent) { events.yield(event) }

  /// One of its texts has ended.
  func finishText() {
    guard left.subtract(1, ordering: .relaxed).newValue == 0 else { return }
    hasEnded.store(true, ordering: .relaxed)
    metrics.countRequest(seconds: (ContinuousClock.now - arrival) / .seconds(1))
    events.finish()
  }

  /// Ends it with an error.
  func fail(_ error: APIError) {
    guard !hasEnded.exchange(true, ordering: .relaxed) else { return }
    events.yield(.failed(error))
    events.finish()
  }

  /// Its time is over.
  func expire() { fail(.timeout) }

  /// Ends it without a word.
  func cancel() {
    hasEnded.store(true, ordering: .relaxed)
    events.finish()
  }
}

/// A text of a request, checked, and what the engine needs for it.
struct TextJob: Sendable {
  let request: ServedRequest
  let index: Int
  let text: TextRequest
  let sampler: Sampler
  let eosTokenIDs: Set<Int32>

  func send(_ event: TextEvent) { request.send(.text(index, event)) }
}
