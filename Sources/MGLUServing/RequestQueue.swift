/// Requests with sequences that have not started.
///
/// The queue is fair: it counts the tokens of the sequences that it lets start, and takes the next one of
/// the client that has been given least, and of this client's requests the one that has been given least;
/// of equals the first to arrive. A client that comes anew counts as having been given what those who wait
/// have, so nobody saves up.
///
/// The engine asks the queue before every step. The cost of a request there does not depend on the
/// number of its sequences, which may be a thousand.
struct RequestQueue {
  private struct Item {
    let request: RequestState
    let client: String
    let sequences: [QueuedSequence]
    /// How many of the sequences have started.
    var started = 0
    /// The tokens of these.
    var given = 0
  }

  private var items: [Item] = []
  /// The tokens that clients have been given; those who are not here count as `level`.
  private var given: [String: Int] = [:]
  /// What the client served last had been given before.
  private var level = 0

  var isEmpty: Bool { items.isEmpty }
  /// The number of requests.
  var count: Int { items.count }
  /// The number of sequences that have not started.
  var sequenceCount: Int { items.reduce(0) { $0 + $1.sequences.count - $1.started } }

  mutating func append(_ request: RequestState, _ sequences: [QueuedSequence], client: String) {
    given[client] = max(given[client] ?? level, level)
    items.append(Item(request: request, client: client, sequences: sequences))
  }

  /// Removes requests that are over, and fails those whose time limit has passed.
  mutating func removeEnded(at now: ContinuousClock.Instant) {
    for item in items { item.request.expire(at: now) }
    items.removeAll(where: \.request.isOver)
  }

  /// Removes the next sequence if it fits, and returns it. What comes later does not overtake it.
  mutating func removeFirst(if fits: (QueuedSequence) -> Bool) -> QueuedSequence? {
    guard let index = next else { return nil }
    let sequence = items[index].sequences[items[index].started]
    guard fits(sequence) else { return nil }
    let client = items[index].client
    let tokens = sequence.generation.prompt.count + sequence.generation.maxTokens
    items[index].started += 1
    items[index].given += tokens
    level = given[client] ?? level
    given[client] = level + tokens
    if items[index].started == items[index].sequences.count { items.remove(at: index) }
    if items.isEmpty {
      (given, level) = ([:], 0)
    } else if given.count > 4 * items.count {
      given = given.filter { client, tokens in
        tokens > level || items.contains { $0.client == client }
      }
    }
    return sequence
  }

  /// The request whose turn it is.
  private var next: Int? {
    items.indices.min { a, b in
      let (a, b) = (items[a], items[b])
      return (given[a.client] ?? level, a.given) < (given[b.client] ?? level, b.given)
    }
  }

  /// Removes the last request of the client that waits with most, for one of `client` in its place; only
  /// if `client` waits with fewer by more than that one. Requests that have begun stay.
  mutating func makeRoom(for client: String) -> RequestState? {
    var counts: [String: Int] = [:]
    for item in items { counts[item.client, default: 0] += 1 }
    guard let most = counts.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }),
      most.value > counts[client, default: 0] + 1,
      let index = items.lastIndex(where: { $0.client == most.key && $0.started == 0 })
    else { return nil }
    return items.remove(at: index).request
  }

  /// Removes all requests.
  mutating func removeAll() -> [RequestState] {
    defer { (items, given, level) = ([], [:], 0) }
    return items.map(\.request)
  }
}
