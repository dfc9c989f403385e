/// A checked sequence of a request, before it runs.
struct QueuedSequence: Sendable {
  let request: RequestState
  /// Its index among the request's sequences.
  let index: Int
  let generation: GenerationRequest
  let stopSequences: [String]

  func send(_ event: SequenceEvent) { request.send(event, of: index) }
}
