/// Which of an engine's replicas starts a sequence: of those that have room the one whose sequences have the
/// fewest blocks, less the blocks of the prompt's beginning that it has read before.
///
/// Sessions know their prefix caches exactly but are their threads' own. This remembers the prompts that
/// each replica was given, of about as many blocks as its cache has; where it is wrong, a prompt is read
/// once more.
struct Placement {
  private struct Replica {
    let cacheBlockSize: Int
    var isReady: Bool
    /// Its device has failed.
    var hasFailed = false
    /// The next sequence does not fit.
    var isFull = false
    var usedBlocks = 0
    /// How many prefixes each of the two sets holds.
    var limit = 0
    /// Prefixes that it has read, and those that it read before these.
    var prefixes: (recent: Set<Int>, older: Set<Int>) = ([], [])

    func hasRead(_ prefix: Int) -> Bool {
      prefixes.recent.contains(prefix) || prefixes.older.contains(prefix)
    }

    mutating func remember(_ prefix: Int) {
      if prefixes.recent.count >= limit { prefixes = ([], prefixes.recent) }
      prefixes.recent.insert(prefix)
    }
  }

  private var replicas: [Replica]

  init(_ models: [InferenceModel], _ plans: [CachePlan]) {
    replicas = zip(models, plans).map { model, plan in
      // Where nothing is compiled a replica is ready at once.
      Replica(
        cacheBlockSize: model.backend.cacheBlockSize, isReady: !model.backend.isAsynchronous,
        limit: plan.blocks)
    }
  }

  /// Whether every replica that has not failed computes.
  var areAllReady: Bool { replicas.allSatisfy { $0.isReady || $0.hasFailed } }
  /// Whether all have failed.
  var isEmpty: Bool { replicas.allSatisfy(\.hasFailed) }

  mutating func setReady(_ replica: Int) { replicas[replica].isReady = true }

  /// Gives `replica` no more sequences.
  mutating func remove(_ replica: Int) { replicas[replica].hasFailed = true }

  /// Records what `replica` says of itself.
  mutating func update(_ replica: Int, usedBlocks: Int, isFull: Bool) {
    (replicas[replica].usedBlocks, replicas[replica].isFull) = (usedBlocks, isFull)
  }

  /// The replica that is to start `sequence`: of equals, the one that asks.
  func choose(for sequence: QueuedSequence, askedBy asking: Int) -> Int? {
    let able = replicas.indices.filter {
      replicas[$0].isReady && !replicas[$0].hasFailed && !replicas[$0].isFull
    }
    let work = able.map { index in
      let read = sequence.prefixes.lastIndex(where: replicas[index].hasRead).map { $0 + 1 } ?? 0
      return (replicas[index].usedBlocks - read, index == asking ? 0 : 1, index)
    }
    return work.min { $0 < $1 }?.2
  }

  /// Records that `replica` starts `sequence`.
  mutating func place(_ sequence: QueuedSequence, on replica: Int) {
    for prefix in sequence.prefixes { replicas[replica].remember(prefix) }
    let tokens = sequence.generation.prompt.count + sequence.generation.maxTokens
    replicas[replica].usedBlocks += tokens / replicas[replica].cacheBlockSize + 1
  }

  /// What stands for the beginnings of `prompt`, of one block, two and so on, in this process.
  static func prefixes(of prompt: [Int32], blockSize: Int) -> [Int] {
    var hasher = Hasher()
    return (0..<prompt.count / blockSize).map { block in
      for token in prompt[block * blockSize..<(block + 1) * blockSize] { hasher.combine(token) }
      let prefix = hasher
      return prefix.finalize()
    }
  }
}
