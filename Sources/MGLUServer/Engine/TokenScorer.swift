#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Log-probabilities of tokens from logits.
package enum TokenScorer {
  /// What stands for the logarithm of 0 and for what is no number, neither of which JSON can say.
  static let least: Float = -9999

  /// The score of `id` and of the `count` most probable tokens under `logits` `[V]`.
  ///
  /// Equal ids get equal numbers, bit for bit, wherever they appear.
  package static func score(
    _ id: Int32, under logits: Span<Float>, top count: Int
  ) -> TokenScore {
    let normaliser = logSumExp(logits)
    func alternative(_ id: Int) -> TokenScore.Alternative {
      let logprob = logits[id] - normaliser
      return .init(id: Int32(id), logprob: logprob >= least ? logprob : least)
    }
    var alternatives = largest(count, of: logits).map(alternative)
    let own = alternative(Int(id))
    if !alternatives.contains(where: { $0.id == id }) { alternatives.append(own) }
    return TokenScore(id: id, logprob: own.logprob, alternatives: alternatives)
  }

  private static func logSumExp(_ logits: Span<Float>) -> Float {
    var largest = -Float.infinity
    for index in logits.indices where logits[index] > largest { largest = logits[index] }
    guard largest.isFinite else { return largest }
    var sum = 0.0
    for index in logits.indices {
      let share = exp(logits[index] - largest)
      if share > 0 { sum += Double(share) }
    }
    return largest + Float(log(sum))
  }

  /// The indices of the `count` largest logits, the largest first; of equal ones the lower first.
  private static func largest(_ count: Int, of logits: Span<Float>) -> [Int] {
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
