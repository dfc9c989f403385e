/// A token and its log-probability under the model.
public struct TokenLogprob: Sendable, Equatable {
  /// A token with its log-probability.
  public struct Alternative: Sendable, Equatable {
    /// The token.
    public let id: Int32
    /// Its log-probability in nats.
    public let logprob: Float
  }

  /// The token.
  public let id: Int32
  /// In nats; `nil` for a prompt's first token, before which there is none.
  public let logprob: Float?
  /// The most probable tokens, most probable first, and the token itself where it is not among them.
  public let alternatives: [Alternative]

  init(id: Int32, logprob: Float?, alternatives: [Alternative]) {
    (self.id, self.logprob, self.alternatives) = (id, logprob, alternatives)
  }

  /// Stands for the logarithm of 0 and for not-a-number, which JSON cannot express.
  package static let minimum: Float = -9999

  /// The token `id` and the `count` most probable ones, from a row of what
  /// ``InferenceBackend/logprobs(_:vocabulary:of:into:largest:)`` finds for it.
  package init(_ id: Int32, logprobs: Tensor, largest: Tensor, top count: Int) {
    func alternative(_ id: Int32, _ index: Int) -> Alternative {
      let logprob = logprobs.floats[index]
      return Alternative(id: id, logprob: logprob >= Self.minimum ? logprob : Self.minimum)
    }
    let own = alternative(id, 0)
    var alternatives = (0..<count).filter { largest.integers[$0] >= 0 }
      .map { alternative(largest.integers[$0], $0 + 1) }
    if !alternatives.contains(where: { $0.id == id }) { alternatives.append(own) }
    self.init(id: id, logprob: own.logprob, alternatives: alternatives)
  }

  /// A token without a log-probability.
  init(_ id: Int32) { self.init(id: id, logprob: nil, alternatives: []) }
}
