/// What a sequence's sampling parameters change of its logits, token by token: biases, then penalties of
/// tokens that were there before; and ends of the sequence that must not come yet.
struct LogitsProcessor {
  private var changes: [LogitAdjustment] = []
  private var places: [Int32: Int] = [:]
  private var counts: [Int32: Int] = [:]
  private let sampling: SamplingParameters
  /// Tokens that must not be sampled while fewer than `minTokens` are there.
  private let ends: [Int32]
  private let minTokens: Int
  private var generated = 0

  private let hasPenalty: Bool
  /// Whether nothing changes any more: the ends may come, and that was all.
  var isSpent: Bool { generated >= minTokens && !hasPenalty && sampling.logitBias.isEmpty }

  /// What `request` changes for a model of `configuration`; `nil` where it changes nothing.
  init?(_ request: GenerationRequest, _ configuration: ModelConfiguration) {
    let sampling = request.sampling
    let ends =
      request.minTokens > 0
      ? request.stopTokenIDs + (request.ignoresEOS ? [] : configuration.eosTokenIDs) : []
    hasPenalty =
      sampling.repetitionPenalty != 1 || sampling.presencePenalty != 0
      || sampling.frequencyPenalty != 0
    guard hasPenalty || !sampling.logitBias.isEmpty || !ends.isEmpty else { return nil }
    self.sampling = sampling
    self.ends = ends
    minTokens = request.minTokens
    for (token, bias) in sampling.logitBias { change(token) { $0.bias = bias } }
    if sampling.repetitionPenalty != 1 {
      for token in request.prompt { change(token) { $0.penalty = sampling.repetitionPenalty } }
    }
    for token in ends { change(token) { $0.bias = -.infinity } }
  }

  /// The changes of the logits of the next token.
  var adjustments: [LogitAdjustment] { changes }

  /// Takes note of a generated token.
  mutating func append(_ token: Int32) {
    generated += 1
    if generated == minTokens {
      for end in ends {
        let bias = sampling.logitBias[end] ?? 0
        change(end) { $0.bias = bias }
      }
    }
    guard hasPenalty else { return }
    let count = counts[token, default: 0] + 1
    counts[token] = count
    let penalty = sampling.repetitionPenalty
    let subtracted = sampling.presencePenalty + Float(count) * sampling.frequencyPenalty
    change(token) { ($0.penalty, $0.subtracted) = (penalty, subtracted) }
  }

  private mutating func change(_ token: Int32, _ body: (inout LogitAdjustment) -> Void) {
    if let place = places[token] { return body(&changes[place]) }
    var added = LogitAdjustment(token: token)
    body(&added)
    places[token] = changes.count
    changes.append(added)
  }
}
