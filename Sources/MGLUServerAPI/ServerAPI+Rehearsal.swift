import Synchronization

extension ServerAPI {
  /// Waits until the engine computes what is submitted, and answers requests of its own, which no metrics
  /// count, so that a client's first request is as quick as its hundredth: the pages of the program, its
  /// tables of types and the tokenizer's rules are there. Until then `/health` says that the model loads.
  ///
  /// - Throws: ``ServingProblem/device`` if a device failed, and ``ServingProblem/draining`` if the
  ///   engine was drained meanwhile: nothing is served then.
  public func prepare() async throws(ServingError) {
    rehearsal.isDue = true
    defer { rehearsal.isDue = false }
    try await engine.waitUntilReady()
    for isStreamed in [false, true] {
      let fields = #""max_tokens":2,"stream":\#(isStreamed)}"#
      let texts = #"{"prompt":"To be",\#(fields)"#
      let messages = #"{"messages":[{"role":"user","content":"To be"}],\#(fields)"#
      // What a model refuses, such as a chat without a template, is nothing that a client would wait for.
      let replies = [
        try? await completions(Array(texts.utf8), isRehearsal: true),
        try? await chat(Array(messages.utf8), isRehearsal: true),
      ]
      for case .events(_, let send)? in replies { try? await send { _ in } }
    }
    // Replies that failed say nothing of the engine.
    try await engine.waitUntilReady()
  }

  /// Whether requests of its own are still to be answered.
  final class Rehearsal: Sendable {
    private let due = Atomic(false)

    var isDue: Bool {
      get { due.load(ordering: .relaxed) }
      set { due.store(newValue, ordering: .relaxed) }
    }
  }
}
