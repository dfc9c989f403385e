/// A submitted request: the events of its sequences, as they happen.
///
///     for try await (sequence, event) in request { ... }
///
/// The iteration ends after the last sequence has finished, and throws if the engine cannot finish the
/// request. Only one task may iterate. The engine drops the request when the handle is released, when
/// the iterating task is canceled, and on ``cancel()``.
public struct RequestHandle: AsyncSequence, Sendable {
  /// The index of a sequence among the submitted ones, and its event.
  public typealias Element = (sequence: Int, event: SequenceEvent)
  /// Errors end the request as a whole.
  public typealias Failure = ServingError

  private let state: RequestState
  private let events: AsyncStream<RequestState.Event>

  init(_ state: RequestState, _ events: AsyncStream<RequestState.Event>) {
    (self.state, self.events) = (state, events)
  }

  /// Drops the request: its sequences leave the engine before the next step, and the iteration ends
  /// without an error.
  public func cancel() { state.cancel() }

  /// Receives the events that were not received before.
  public struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate var events: AsyncStream<RequestState.Event>.Iterator

    /// The next event, or `nil` after the last.
    public mutating func next(
      isolation actor: isolated (any Actor)? = #isolation
    ) async throws(ServingError) -> Element? {
      try await events.next(isolation: actor)?.get()
    }
  }

  /// Starts, or continues, to receive events.
  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(events: events.makeAsyncIterator())
  }
}
