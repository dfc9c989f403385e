#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension RopeScaling {
  /// The frequencies of `pairs` pairs of elements, in radians per position, after scaling; without it
  /// theta^(-i / pairs).
  package static func frequencies(theta: Double, pairs: Int, _ scaling: RopeScaling?) -> [Double] {
    let plain = (0..<pairs).map { pow(theta, -Double($0) / Double(pairs)) }
    switch scaling {
    case nil: return plain
    case .yarn(let yarn): return yarn.scaled(plain, theta: theta)
    case .linear, .llama3: return plain.map { scaling?.scaled($0) ?? $0 }
    }
  }

  /// What cosines and sines are multiplied by.
  package var attentionFactor: Double {
    if case .yarn(let yarn) = self { yarn.attentionFactor } else { 1 }
  }

  /// A frequency after scaling that looks at each by itself.
  package func scaled(_ frequency: Double) -> Double {
    switch self {
    case .linear(let factor): return frequency / factor
    case .llama3(let factor, let low, let high, let original):
      let turns = Double(original) * frequency / (2 * .pi)
      if turns > high { return frequency }
      if turns < low { return frequency / factor }
      let share = (turns - low) / (high - low)
      return (1 - share) * frequency / factor + share * frequency
    case .yarn: return frequency
    }
  }
}

extension RopeScaling.YarnScaling {
  /// 0.1 scale ln(factor) + 1: the paper's where `scale` is 1.
  static func attentionFactor(of factor: Double, scale: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
  }

  fileprivate func scaled(_ frequencies: [Double], theta: Double) -> [Double] {
    let size = Double(2 * frequencies.count)
    /// The pair, which need not be a whole number, that turns so often in the original context.
    func pair(turning turns: Double) -> Double {
      size * log(Double(original) / (turns * 2 * .pi)) / (2 * log(theta))
    }
    var (first, last) = (pair(turning: fastTurns), pair(turning: slowTurns))
    if isTruncated { (first, last) = (first.rounded(.down), last.rounded(.up)) }
    (first, last) = (max(first, 0), min(last, size - 1))
    if first == last { last += 0.001 }
    return frequencies.enumerated().map { index, frequency in
      let share = min(max((Double(index) - first) / (last - first), 0), 1)
      return frequency / factor * share + frequency * (1 - share)
    }
  }
}
