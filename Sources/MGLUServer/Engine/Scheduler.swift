/// Continuous batching: every step takes a row of each text that is being written and as many
/// pieces of prompts as fit beside them.
///
/// A prompt is cut into pieces at multiples of ``pieceLength`` whatever else runs, so that a text's
/// answer is the same in any company.
final class Scheduler {
  /// Most tokens of a prompt that are read at once.
  static let pieceLength = 256

  private let session: BatchedDecodingSession
  private let tokenizer: Tokenizer
  private let scorer: LogprobScorer
  private let metrics: ServerMetrics
  private let mostTexts: Int
  private var running: [RunningText] = []

  init(
    _ model: InferenceModel, tokenizer: Tokenizer, mostTexts: Int, capacity: Int,
    metrics: ServerMetrics
  ) {
    session = BatchedDecodingSession(
      model, rowLimit: Self.pieceLength + mostTexts, capacity: capacity)
    self.tokenizer = tokenizer
    scorer = LogprobScorer(on: model.backend.host)
    self.mostTexts = mostTexts
    self.metrics = metrics
  }

  /// Whether nothing runs.
  var isIdle: Bool { running.isEmpty }
  /// How many more texts can start.
  var room: Int { mostTexts - running.count }

  /// Starts `job`.
  func start(_ job: TextJob) {
    let text = RunningText(
      job, in: session.begin(), tokenizer: tokenizer, scorer: scorer, metrics: metrics)
    // Texts that begin together with the same prompt read it once.
    _ = running.contains { $0.lead(text) }
    running.append(text)
    metrics.setRunning(running.count)
  }

  /// Goes a step further with what runs, and lets go of what has ended.
  func step() throws(GenerationError) {
    let now = ContinuousClock.now
    for text in running where text.job.request.hasExpired(at: now) { text.job.request.expire() }
    removeEnded()
    var room = session.rowLimit
    var taken: [RunningText] = []
    var pieces: [BatchedDecodingSession.Piece] = []
    // Those that write first: each is one row, and there is always room for them.
    for text in running.filter(\.isWriting) + running.filter({ !$0.isWriting && !$0.isFollowing }) {
      let piece = text.nextPiece(length: Self.pieceLength)
      guard piece.tokens.count <= room else { continue }
      room -= piece.tokens.count
      taken.append(text)
      pieces.append(piece)
    }
    try session.read(pieces) { index, token, logits in taken[index].see(logits, after: token) }
    for text in taken {
      let followers = text.letFollowersGo()
      for follower in followers { session.copy(text.text, into: follower.text) }
      for text in [text] + followers { text.finishStep() }
    }
    removeEnded()
  }

  /// Tells everything that runs of a failure.
  func fail(_ error: APIError) {
    for text in running { text.job.request.fail(error) }
    removeEnded()
  }

  private func removeEnded() {
    for text in running where text.hasEnded { session.end(text.text) }
    running.removeAll(where: \.hasEnded)
    metrics.setRunning(running.count)
  }
}
