/// Requests with sequences that have not started.
///
/// The queue is fair: it counts the tokens of the sequences that it lets start, and takes the next one of
/// the client that has been given least, and of this client's requests the one that has been given least;
/// of equals the first to arrive. A client that comes anew counts as having been given what those who wait
/// have on the average, and so does a request among those of its client: nobody saves up, and whoever waits
/// has a turn, however many come after.
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
    /// The tokens of these, and what its client's requests had been given when it came.
    var given: Double
  }

  /// What those who share have been given on the average, before the last of them was.
  private struct Level {
    private(set) var value = 0.0
    private var next = 0.0

    /// One of `count` is given `tokens`.
    mutating func rise(_ tokens: Double, of count: Int) {
      value = next
      next += tokens / Double(count)
    }
  }

  /// The tokens that a client has been given.
  private struct Share {
    var given: Double
    /// The level of its requests.
    var level = Level()
  }

  private var items: [Item] = []
  /// The shares of clients; those who are not here count as `level`.
  private var shares: [String: Share] = [:]
  private var level = Level()

  var isEmpty: Bool { items.isEmpty }
  /// The number of requests.
  var count: Int { items.count }
  /// The number of sequences that have not started.
  var sequenceCount: Int { items.reduce(0) { $0 + $1.sequences.count - $1.started } }

  mutating func append(_ request: RequestState, _ sequences: [QueuedSequence], client: String) {
    var share = shares[client] ?? Share(given: level.value)
    share.given = max(share.given, level.value)
    shares[client] = share
    items.append(
      Item(request: request, client: client, sequences: sequences, given: share.level.value))
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
    let tokens = Double(sequence.generation.prompt.count + sequence.generation.maxTokens)
    level.rise(tokens, of: Set(items.map(\.client)).count)
    shares[client]?.level.rise(tokens, of: items.count { $0.client == client })
    shares[client]?.given += tokens
    items[index].started += 1
    items[index].given += tokens
    if items[index].started == items[index].sequences.count { items.remove(at: index) }
    if items.isEmpty {
      (shares, level) = ([:], Level())
    } else if shares.count > 4 * items.count {
      shares = shares.filter { client, share in
        share.given > level.value || items.contains { $0.client == client }
      }
    }
    return sequence
  }

  /// The request whose turn it is.
  private var next: Int? {
    items.indices.min { a, b in
      let (a, b) = (items[a], items[b])
      return (shares[a.client]?.given ?? level.value, a.given)
        < (shares[b.client]?.given ?? level.value, b.given)
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
    defer { (items, shares, level) = ([], [:], Level()) }
    return items.map(\.request)
  }
}
