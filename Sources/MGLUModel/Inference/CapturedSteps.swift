/// Decode steps that were captured, to be replayed over the same slots.
struct CapturedSteps {
  /// What a captured step computes alike: where its rows come from, and the slots of the rows.
  struct Key: Hashable {
    enum Kind { case entered, following, appended }
    let kind: Kind
    /// Which of the two ``SampledTokens`` has the tokens.
    let turn: Int
    let slots: [Int]
  }

  private let backend: any InferenceBackend
  private var captured: [Key: () -> Void] = [:]
  private var seen: Set<Key> = []

  /// Most steps that are kept: sets of slots come and go with their sequences.
  private static let capacity = 64

  init(on backend: any InferenceBackend) { self.backend = backend }

  /// Enqueues the step of `key`: replayed, or made anew. A step of several rows is captured when it
  /// comes for the second time, as capturing costs more than enqueuing.
  mutating func enqueue(_ key: Key, _ make: () -> () -> Void) {
    if let step = captured[key] { return step() }
    let body = make()
    guard key.slots.count == 1 || !seen.insert(key).inserted else { return body() }
    if captured.count == Self.capacity {
      backend.synchronize()
      captured.removeAll()
      seen.removeAll()
    }
    let step = backend.capture(body)
    captured[key] = step
    step()
  }
}
