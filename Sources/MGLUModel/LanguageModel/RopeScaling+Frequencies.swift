#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension RopeScaling {
  /// The frequencies of `pairs` pairs of elements, in radians per position, after scaling for a context
  /// of some length; without it theta^(-i / pairs).
  package static func frequencies(
    theta: Double, pairs: Int, _ scaling: RopeScaling?, context: Int = 1
  ) -> [Double] {
    let plain = (0..<pairs).map { pow(theta, -Double($0) / Double(pairs)) }
    switch scaling {
    case nil: return plain
    case .yarn(let yarn): return yarn.scaled(plain, theta: theta)
    case .longRope(let long):
      return zip(plain, long.factors(context: context)).map { $0 / $1 }
    case .linear, .llama3: return plain.map { scaling?.scaled($0) ?? $0 }
    }
  }

  /// What cosines and sines are multiplied by.
  package var attentionFactor: Double {
    switch self {
    case .yarn(let yarn): yarn.attentionFactor
    case .longRope(let long): long.attentionFactor
    case .linear, .llama3: 1
    }
  }

  /// The longest context of the first frequencies, where longer ones have others.
  var shortContext: Int? {
    if case .longRope(let long) = self { long.original } else { nil }
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
    case .yarn, .longRope: return frequency
    }
  }
}

extension RopeScaling.LongRopeScaling {
  /// The paper's attention factor of a model that reads `factor` times the original context.
  static func attentionFactor(of factor: Double, original: Int) -> Double {
    factor <= 1 ? 1 : (1 + log(factor) / log(Double(original))).squareRoot()
  }

  fileprivate func factors(context: Int) -> [Double] {
    context > original ? longFactors : shortFactors
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
