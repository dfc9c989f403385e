/// What the threads of an engine share: the requests that wait, who computes them, and whether others may
/// come.
struct EngineQueue {
  var requests = RequestQueue()
  var placement: Placement
  private(set) var state = Engine.State.loading
  /// What the first device failed with.
  private(set) var failure: ServingError?
  /// Who waits for the end of loading.
  private var waiting: [CheckedContinuation<Void, Never>] = []

  /// The queue of replicas of a model with plans for their caches.
  init(_ models: [InferenceModel], _ plans: [CachePlan]) {
    placement = Placement(models, plans)
    if placement.areAllReady { state = .open }
  }

  /// Whether whoever comes later is refused, and nobody waits.
  var isLast: Bool { state == .draining && requests.isEmpty }

  /// Why requests are refused, if they are.
  var refusal: ServingError? {
    switch state {
    case .loading, .open, .impaired: nil
    case .draining: .draining
    case .failed: .deviceFailed
    }
  }

  /// Resumes `continuation` at the end of loading.
  mutating func waitUntilLoaded(_ continuation: CheckedContinuation<Void, Never>) {
    if state == .loading { waiting.append(continuation) } else { continuation.resume() }
  }

  private mutating func resumeWaiting() {
    for continuation in waiting { continuation.resume() }
    waiting = []
  }

  /// Lets `replica` compute; the last one ends loading.
  mutating func setReady(_ replica: Int) {
    placement.setReady(replica)
    guard state == .loading, placement.areAllReady else { return }
    state = .open
    resumeWaiting()
  }

  /// Refuses what comes later.
  mutating func drain() {
    if state != .failed { state = .draining }
    resumeWaiting()
  }

  /// Ends the work of `replica`. Returns the requests that nobody is left to compute.
  mutating func fail(_ replica: Int, _ error: ServingError) -> [RequestState] {
    placement.remove(replica)
    if failure == nil { failure = error }
    if placement.isEmpty {
      state = .failed
    } else if state != .draining {
      state = .impaired
    }
    resumeWaiting()
    return placement.isEmpty ? requests.removeAll() : []
  }

  /// Whose turn it is to start a sequence.
  enum Turn {
    /// The asking replica starts this one.
    case own(QueuedSequence)
    /// This replica starts the next one, and may have to be told.
    case other(Int)
    /// No sequence waits, or no replica has room.
    case none
  }

  /// Removes the next sequence if `replica` is to start it.
  ///
  /// - Parameters:
  ///   - replica: Who asks.
  ///   - usedBlocks: The blocks that its sequences have.
  ///   - hasRoom: Whether it could start a sequence.
  mutating func next(
    for replica: Int, usedBlocks: Int, hasRoom: (QueuedSequence) -> Bool
  ) -> Turn {
    let first = requests.first
    placement.update(
      replica, usedBlocks: usedBlocks, isFull: first.map { !hasRoom($0) } ?? false)
    guard let first, let chosen = placement.choose(for: first, askedBy: replica) else {
      return .none
    }
    guard chosen == replica else { return .other(chosen) }
    requests.removeFirst()
    placement.place(first, on: replica)
    return .own(first)
  }
}
