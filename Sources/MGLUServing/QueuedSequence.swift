/// A checked sequence of a request, before it runs.
struct QueuedSequence: Sendable {
  let request: RequestState
  /// Its index among the request's sequences.
  let index: Int
  let generation: GenerationRequest
  /// What finds the stop sequences, which the request's sequences share.
  let stops: StopAutomaton
  /// What stands for the beginnings of its prompt (``Placement/prefixes(of:blockSize:)``), where there is
  /// a choice.
  let prefixes: [Int]

  func send(_ event: SequenceEvent) { request.send(event, of: index) }
}
