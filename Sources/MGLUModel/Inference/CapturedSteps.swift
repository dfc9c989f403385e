/// Decode steps that were captured, to be replayed for any sequences.
package struct CapturedSteps {
  /// What a captured step computes.
  package struct Key: Hashable {
    /// Its rows, of which the last may belong to no sequence.
    let rows: Int
    /// Which of the session's ``SampledTokens`` gets the tokens; `nil` where none are sampled.
    let turn: Int?

    package init(rows: Int, turn: Int?) { (self.rows, self.turn) = (rows, turn) }
  }

  private let backend: any InferenceBackend
  private var captured: [Key: () -> Void] = [:]

  package init(on backend: any InferenceBackend) { self.backend = backend }

  /// Enqueues the step of `key`, captured at its first occurrence.
  package mutating func enqueue(_ key: Key, _ body: @escaping () -> Void) {
    if let step = captured[key] { return step() }
    let step = backend.capture(body)
    // Once for each key: a closure that is read from a dictionary and stored again is wrapped each time.
    captured[key] = step
    step()
  }
}
