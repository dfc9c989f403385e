// Blocks of the KV cache: what a sequence may need is taken when it is inserted, so that it never waits
// for memory later, and what others have read of its prompt is shared.

extension InferenceSession {
  /// What a sequence would have of the cache.
  struct Reservation {
    /// Blocks that hold the beginning of its prompt, or will.
    var shared: [Int32] = []
    /// What the last of them stands for.
    var prefix = BlockPool.Prefix.none
    /// The sequence whose prefill fills them.
    var leader: SequenceState?
    /// How many blocks it needs of its own.
    var ownCount: Int
  }

  private var blockSize: Int { model.backend.cacheBlockSize }

  /// How many blocks of the KV cache sequences have, and how many there are.
  public var cacheBlocks: (used: Int, total: Int) { (pool.usedCount, pool.count) }

  /// Most tokens that a request can generate: the last one is not read.
  func limit(of request: GenerationRequest) -> Int {
    min(request.maxTokens, max(0, contextLength + 1 - request.prompt.count))
  }

  /// What the sequence of `request` would have, or `nil` where too few blocks are free.
  func reservation(for request: GenerationRequest) -> Reservation? {
    let tokens = request.prompt.count + max(1, limit(of: request)) - 1
    guard var result = reservation(ofTokens: tokens, available: pool.count) else { return nil }
    if let leader = running.first(where: { $0.canLead(request) }) {
      result.leader = leader
      result.shared = Array(leader.blocks.prefix(request.prompt.count / blockSize))
    } else {
      while let (block, prefix) = known(request, result.shared.count, after: result.prefix) {
        result.shared.append(block)
        result.prefix = prefix
      }
    }
    result.ownCount -= result.shared.count
    let woken = result.shared.count { pool.isUnused($0) }
    return result.ownCount + woken <= pool.availableCount ? result : nil
  }

  /// What a sequence of so many tokens would have that shares nothing.
  func reservation(ofTokens tokens: Int, available: Int? = nil) -> Reservation? {
    let count = SessionCache.blockCount(tokens: tokens, on: model.backend)
    return count <= available ?? pool.availableCount ? Reservation(ownCount: count) : nil
  }

  /// The blocks of a reservation.
  func take(_ reservation: Reservation) -> [Int32] {
    for block in reservation.shared { pool.retain(block) }
    return reservation.shared + (0..<reservation.ownCount).compactMap { _ in pool.take() }
  }

  /// The block that holds the `index`th block of a prompt, if one does. At least one token of a prompt is
  /// read, so that there are logits after it; log-probabilities of all are found by reading all.
  private func known(
    _ request: GenerationRequest, _ index: Int, after prefix: BlockPool.Prefix
  ) -> (block: Int32, prefix: BlockPool.Prefix)? {
    let end = (index + 1) * blockSize
    guard end < request.prompt.count, !request.promptLogprobs else { return nil }
    return pool.block(of: request.prompt[end - blockSize..<end], after: prefix)
  }

  /// Makes a sequence ready for its first rows, in the step of `turn`: what others have read of its prompt
  /// since it was inserted is shared too.
  func start(_ state: SequenceState, turn: Int) {
    while let (block, prefix) = known(state.request, state.knownBlocks, after: state.prefix) {
      share(block, with: state, at: state.knownBlocks)
      state.knownBlocks += 1
      state.prefix = prefix
    }
    state.position = state.knownBlocks * blockSize
    state.sharedPromptTokens = state.position
    state.isStarted = true
    sendBlocks(of: state, turn: turn)
  }

  /// Puts a block in the place of a sequence's own.
  private func share(_ block: Int32, with state: SequenceState, at index: Int) {
    guard state.blocks[index] != block else { return }
    pool.retain(block)
    pool.release(state.blocks[index])
    state.blocks[index] = block
  }

  /// Brings a sequence's line of the block tables to the device.
  func sendBlocks(of state: SequenceState, turn: Int) {
    let line = tableLines[turn][state.slot..<state.slot + 1]
    for (index, block) in state.blocks.enumerated() { line.integers[index] = block }
    model.backend.copy(line, into: cache.blockTables[state.slot..<state.slot + 1])
  }

  /// Lets what is enqueued of a prompt be found by sequences to come.
  func keepPrompt(of state: SequenceState) {
    let prompt = state.request.prompt
    while (state.knownBlocks + 1) * blockSize <= min(state.position, prompt.count) {
      let start = state.knownBlocks * blockSize
      state.prefix = pool.keep(
        state.blocks[state.knownBlocks], of: prompt[start..<start + blockSize],
        after: state.prefix)
      state.knownBlocks += 1
    }
  }

  /// Gives the followers of a sequence whose prompt is read what it has: whole blocks are shared, the
  /// beginning of another is copied.
  func releaseFollowers(of state: SequenceState, turn: Int) {
    let count = state.request.prompt.count
    let whole = count / blockSize
    for follower in state.followers {
      for index in 0..<whole { share(state.blocks[index], with: follower, at: index) }
      if count % blockSize > 0 {
        cache.copy(state.blocks[whole], into: follower.blocks[whole], on: model.backend)
      }
      follower.position = count
      follower.knownBlocks = whole
      follower.sharedPromptTokens = count
      follower.isFollowing = false
      follower.isStarted = true
      sendBlocks(of: follower, turn: turn)
    }
    state.followers = []
  }
}
