import Synchronization

/// The engine's side of a request: its sequences run apart and report to one stream.
final class RequestState: Sendable {
  typealias Event = Result<RequestHandle.Element, ServingError>

  private let arrival = ContinuousClock.now
  private let deadline: ContinuousClock.Instant
  private let events: AsyncStream<Event>.Continuation
  private let unfinished: Atomic<Int>
  private let hasEnded = Atomic(false)
  /// Where it is counted.
  let metrics: EngineMetrics

  /// The state of a request of `sequences` sequences, and the client's handle to it.
  static func make(
    sequences: Int, timeLimit: Duration, metrics: EngineMetrics
  ) -> (state: RequestState, handle: RequestHandle) {
    let (stream, continuation) = AsyncStream.makeStream(of: Event.self)
    let state = RequestState(continuation, sequences, timeLimit, metrics)
    // The stream terminates when its last reader is gone. The state must not keep itself alive.
    continuation.onTermination = { [weak state] _ in state?.cancel() }
    return (state, RequestHandle(state, stream))
  }

  private init(
    _ events: AsyncStream<Event>.Continuation, _ sequences: Int, _ timeLimit: Duration,
    _ metrics: EngineMetrics
  ) {
    self.events = events
    unfinished = Atomic(sequences)
    deadline = arrival + timeLimit
    self.metrics = metrics
  }

  /// Whether the request has finished, failed, or was canceled.
  var isOver: Bool { hasEnded.load(ordering: .relaxed) }

  /// The time since the request arrived.
  var age: Duration { ContinuousClock.now - arrival }

  /// Fails the request if its time limit has passed.
  func expire(at now: ContinuousClock.Instant) {
    if now >= deadline { fail(.timeout) }
  }

  func send(_ event: SequenceEvent, of sequence: Int) { events.yield(.success((sequence, event))) }

  /// Records that one of the sequences has finished; the last one finishes the request.
  func finishSequence() {
    guard unfinished.subtract(1, ordering: .relaxed).newValue == 0 else { return }
    hasEnded.store(true, ordering: .relaxed)
    metrics.countRequest(seconds: age / .seconds(1))
    events.finish()
  }

  /// Ends the request with an error.
  func fail(_ error: ServingError) {
    guard !hasEnded.exchange(true, ordering: .relaxed) else { return }
    metrics.countFailure(error.code)
    events.yield(.failure(error))
    events.finish()
  }

  /// Ends the request without an error.
  func cancel() {
    hasEnded.store(true, ordering: .relaxed)
    events.finish()
  }
}
