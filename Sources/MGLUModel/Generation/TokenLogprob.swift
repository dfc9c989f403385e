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

  /// A token without a log-probability.
  init(_ id: Int32) { self.init(id: id, logprob: nil, alternatives: []) }
}

/// Log-probabilities of tokens from logits.
package struct LogprobScorer {
  /// Stands for the logarithm of 0 and for not-a-number, which JSON cannot express.
  package static let minimum: Float = -9999

  private let backend: CPUBackend

  /// A scorer whose sums over the vocabulary are computed by `backend`.
  package init(on backend: CPUBackend) { self.backend = backend }

  /// The log-probability of `id` and of the `count` most probable tokens under `logits` `[V]`.
  ///
  /// Equal ids get equal numbers, bit for bit, wherever they appear.
  package func score(
    _ id: Int32, under logits: Span<Float>, top count: Int
  ) -> TokenLogprob {
    let normalizer = backend.logSumExp(logits)
    func alternative(_ id: Int) -> TokenLogprob.Alternative {
      let logprob = logits[id] - normalizer
      return .init(id: Int32(id), logprob: logprob >= Self.minimum ? logprob : Self.minimum)
    }
    var alternatives = largest(count, of: logits).map(alternative)
    let own = alternative(Int(id))
    if !alternatives.contains(where: { $0.id == id }) { alternatives.append(own) }
    return TokenLogprob(id: id, logprob: own.logprob, alternatives: alternatives)
  }

  /// The indices of the `count` largest logits, the largest first; of equal ones the lower first.
  private func largest(_ count: Int, of logits: Span<Float>) -> [Int] {
    var best: [Int] = []
    guard count > 0 else { return best }
    for index in logits.indices {
      if best.count == count {
        guard logits[index] > logits[best[count - 1]] else { continue }
        best.removeLast()
      }
      if logits[index].isNaN { continue }
      let place = best.firstIndex { logits[index] > logits[$0] } ?? best.count
      best.insert(index, at: place)
    }
    return best
  }
}
