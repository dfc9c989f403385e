import MGLUModel

/// Log-probabilities of tokens from logits.
package struct LogprobScorer {
  /// What stands for the logarithm of 0 and for what is no number, neither of which JSON can say.
  static let least: Float = -9999

  private let backend: CPUBackend

  /// A scorer whose sums over the vocabulary are computed by `backend`.
  package init(on backend: CPUBackend) { self.backend = backend }

  /// The score of `id` and of the `count` most probable tokens under `logits` `[V]`.
  ///
  /// Equal ids get equal numbers, bit for bit, wherever they appear.
  package func score(
    _ id: Int32, under logits: Span<Float>, top count: Int
  ) -> TokenLogprob {
    let normalizer = backend.logSumExp(logits)
    func alternative(_ id: Int) -> TokenLogprob.Alternative {
      let logprob = logits[id] - normalizer
      return .init(id: Int32(id), logprob: logprob >= Self.least ? logprob : Self.least)
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
