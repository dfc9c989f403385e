/// Requests with sequences that have not started, in order of arrival.
///
/// The engine asks the queue before every step. The cost of a request there does not depend on the
/// number of its sequences, which may be a thousand.
struct RequestQueue {
  private struct Item {
    let request: RequestState
    let sequences: [QueuedSequence]
    /// How many of the sequences have started.
    var started = 0
  }

  private var items: [Item] = []

  var isEmpty: Bool { items.isEmpty }
  /// The number of requests.
  var count: Int { items.count }
  /// The number of sequences that have not started.
  var sequenceCount: Int { items.reduce(0) { $0 + $1.sequences.count - $1.started } }

  mutating func append(_ request: RequestState, _ sequences: [QueuedSequence]) {
    items.append(Item(request: request, sequences: sequences))
  }

  /// Removes requests that are over, and fails those whose time limit has passed.
  mutating func removeEnded(at now: ContinuousClock.Instant) {
    for item in items { item.request.expire(at: now) }
    items.removeAll(where: \.request.isOver)
  }

  /// Removes the next sequence if it fits, and returns it. What comes later does not overtake it.
  mutating func removeFirst(if fits: (QueuedSequence) -> Bool) -> QueuedSequence? {
    guard let item = items.first else { return nil }
    let sequence = item.sequences[item.started]
    guard fits(sequence) else { return nil }
    items[0].started += 1
    if items[0].started == item.sequences.count { items.removeFirst() }
    return sequence
  }

  /// Removes all requests.
  mutating func removeAll() -> [RequestState] {
    defer { items = [] }
    return items.map(\.request)
  }
}
