/// Decode steps that were captured, to be replayed for any sequences.
struct CapturedSteps {
  /// What a captured step computes.
  struct Key: Hashable {
    /// Its rows, of which the last may belong to no sequence.
    let rows: Int
    /// Which of the session's ``SampledTokens`` gets the tokens; `nil` where none are sampled.
    let turn: Int?
  }

  private let backend: any InferenceBackend
  private var captured: [Key: () -> Void] = [:]

  init(on backend: any InferenceBackend) { self.backend = backend }

  /// Enqueues the step of `key`, captured at its first occurrence.
  mutating func enqueue(_ key: Key, _ body: @escaping () -> Void) {
    let step = captured[key] ?? backend.capture(body)
    captured[key] = step
    step()
  }
}
