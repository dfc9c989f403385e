/// A text on its way through the model.
final class RunningText {
  let job: TextJob
  /// Its place in the model.
  let text: BatchedDecodingSession.Text

  private let tokenizer: Tokenizer
  private let scorer: LogprobScorer
  private let metrics: ServerMetrics
  private let eosTokenIDs: Set<Int32>
  private var sampler: Sampler
  private var characters: StreamingDetokenizer
  private var stops: StopSequences
  private var promptScores: [TokenLogprob] = []
  /// Tokens that the model has not read yet.
  private var unread: ArraySlice<Int32>
  private var written = 0
  private var chosen: (id: Int32, score: TokenLogprob?)?
  private var isFinished = false
  private var lastToken: ContinuousClock.Instant?
  /// Texts of the same prompt that wait for this one to have read it.
  private var followers: [RunningText] = []
  /// Whether this text waits for another to read its prompt.
  private(set) var isFollowing = false

  init(
    _ job: TextJob, in text: BatchedDecodingSession.Text, tokenizer: Tokenizer,
    scorer: LogprobScorer, metrics: ServerMetrics
  ) {
    self.job = job
    self.text = text
    self.tokenizer = tokenizer
    self.scorer = scorer
    self.metrics = metrics
    eosTokenIDs = job.eosTokenIDs
    sampler = job.sampler
    characters = StreamingDetokenizer(tokenizer)
    stops = StopSequences(job.text.stops)
    unread = job.text.prompt[...]
  }

  /// Whether the prompt has been read.
  var isWriting: Bool { written > 0 }
  private var hasBegun: Bool { isWriting || unread.startIndex > 0 }
  /// Whether nothing more is to be done.
  var hasEnded: Bool { isFinished || job.request.isOver }

  /// Lets `other`, of the same request, wait for this text to read the prompt that both have.
  /// Returns whether it does: not where this text has begun to.
  func lead(_ other: RunningText) -> Bool {
    guard !hasBegun, !isFollowing, job.request === other.job.request,
      job.text.readsLike(other.job.text)
    else { return false }
    followers.append(other)
    other.isFollowing = true
    return true
  }

  /// Once this text has read its prompt: those that waited for it, who have read it too when they
  /// get its cache.
  func letFollowersGo() -> [RunningText] {
    guard !isWriting, unread.count <= Scheduler.pieceLength else { return [] }
    defer { followers = [] }
    for follower in followers {
      (follower.unread, follower.promptScores) = (unread, promptScores)
      follower.isFollowing = false
      metrics.countShared(job.text.prompt.count)
    }
    return followers
  }

  /// What the model reads of this text next.
  func nextPiece(length: Int) -> BatchedDecodingSession.Piece {
    let tokens = unread.prefix(length)
    let isLast = tokens.count == unread.count
    let wantsChoice = isLast && job.text.maximumTokens > 0
    // Scored tokens of the prompt: each from the logits after the one before it.
    let first = job.text.scoresPrompt && !isWriting ? 0 : tokens.count - (wantsChoice ? 1 : 0)
    let end = isLast && !wantsChoice ? tokens.count - 1 : tokens.count
    return .init(text, tokens, logits: first..<max(first, end))
  }

  /// Takes note of the logits that follow the token `index` of the piece.
  func see(_ logits: Span<Float>, after index: Int) {
    let next = unread.startIndex + index + 1
    if next < unread.endIndex {
      promptScores.append(score(unread[next], logits) ?? TokenLogprob(unread[next]))
    } else {
      sample(logits)
      for follower in followers { follower.choose(logits) }
    }
  }

  private func sample(_ logits: Span<Float>) {
    let id = sampler.sample(logits)
    guard id >= 0 else {
      return job.request.fail(.internalError(GenerationError.notFinite.message))
    }
    chosen = (id, score(id, logits))
  }

  private func score(_ id: Int32, _ logits: Span<Float>) -> TokenLogprob? {
    job.text.topScores.map { scorer.score(id, under: logits, top: $0) }
  }

  /// Tells the client what the step has brought.
  func finishStep() {
    if hasEnded { return }
    if !isWriting {
      unread = unread.dropFirst(Scheduler.pieceLength)
      guard unread.isEmpty else { return }
      metrics.countPrompt(job.text.prompt.count)
      if job.text.scoresPrompt {
        job.send(.prompt([TokenLogprob(job.text.prompt[0])] + promptScores))
        promptScores.removeAll()
      } else {
        job.send(.prompt([]))
      }
    }
    guard let (id, score) = chosen else { return finish(.length) }
    chosen = nil
    written += 1
    noteTime()
    if eosTokenIDs.contains(id) {
      job.send(.token(id: id, text: "", score: score))
      return finish(.stop)
    }
    job.send(.token(id: id, text: stops.append(characters.append(id)), score: score))
    if stops.isMet { return finish(.stop) }
    if written >= job.text.maximumTokens { return finish(.length) }
    unread = [id]
  }

  private func finish(_ reason: FinishReason) {
    isFinished = true
    let rest = stops.append(characters.finish())
    job.send(.finished(text: rest + stops.finish(), stops.isMet ? .stop : reason))
    job.request.finishText()
  }

  private func noteTime() {
    let now = ContinuousClock.now
    if let lastToken {
      metrics.countToken(secondsSinceLast: (now - lastToken) / .seconds(1))
    } else {
      metrics.countFirstToken(seconds: (now - job.request.arrival) / .seconds(1))
    }
    lastToken = now
  }
}

extension TokenLogprob {
  /// A token without a score.
  fileprivate init(_ id: Int32) { self.init(id: id, logprob: nil, alternatives: []) }
}
