/// How rotary frequencies are changed so that a model reads longer texts than it was first trained
/// on, as Hugging Face names the ways.
public enum RopeScaling: Sendable, Equatable {
  /// Every frequency is divided by `factor`: positions are squeezed.
  case linear(factor: Double)
  /// Llama 3: frequencies that turn at least `highFrequency` times in the `original` context stay,
  /// those that turn at most `lowFrequency` times are divided by `factor`, and what lies between is
  /// interpolated.
  case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, original: Int)
  /// YaRN (arXiv 2309.00071).
  case yarn(YarnScaling)
  /// LongRoPE (arXiv 2402.13753).
  case longRope(LongRopeScaling)

  /// YaRN: pairs that turn at least `fastTurns` times in the `original` context stay, those that turn at
  /// most `slowTurns` times are divided by `factor`, and those between are interpolated, pair by pair.
  public struct YarnScaling: Sendable, Equatable {
    /// What slow frequencies are divided by.
    public var factor: Double
    /// The context that the model was first trained on.
    public var original: Int
    /// Turns in that context from which a frequency stays.
    public var fastTurns: Double
    /// Turns up to which it is divided.
    public var slowTurns: Double
    /// What cosines and sines are multiplied by.
    public var attentionFactor: Double
    /// Whether interpolation begins and ends at whole pairs.
    public var isTruncated: Bool

    /// A scaling by `factor`; the others are the paper's unless they are given.
    public init(
      factor: Double, original: Int, fastTurns: Double = 32, slowTurns: Double = 1,
      attentionFactor: Double? = nil, isTruncated: Bool = true
    ) {
      self.factor = factor
      self.original = original
      (self.fastTurns, self.slowTurns) = (fastTurns, slowTurns)
      self.attentionFactor = attentionFactor ?? Self.attentionFactor(of: factor)
      self.isTruncated = isTruncated
    }
  }

  /// LongRoPE: every frequency is divided by a factor of its own, one for contexts up to the `original`
  /// one and another for longer ones.
  public struct LongRopeScaling: Sendable, Equatable {
    /// What frequencies are divided by in a context up to the original one.
    public var shortFactors: [Double]
    /// What they are divided by in a longer one.
    public var longFactors: [Double]
    /// The context that the model was first trained on.
    public var original: Int
    /// What cosines and sines are multiplied by.
    public var attentionFactor: Double

    /// A scaling by these factors, one for each pair of elements.
    public init(
      shortFactors: [Double], longFactors: [Double], original: Int, attentionFactor: Double
    ) {
      (self.shortFactors, self.longFactors) = (shortFactors, longFactors)
      self.original = original
      self.attentionFactor = attentionFactor
    }
  }

  /// Throws what would leave no finite frequency of `pairs` pairs of elements.
  func validate(pairs: Int) throws(ConfigurationError) {
    switch self {
    case .linear(let factor):
      guard factor >= 1, factor.isFinite else {
        throw ConfigurationError(.size, "rope factor \(factor): expected at least 1")
      }
    case .llama3(let factor, let low, let high, let original):
      guard factor >= 1, factor.isFinite, low > 0, high > low, high.isFinite, original > 0 else {
        throw ConfigurationError(
          .size,
          "llama3 rope scaling of factor \(factor), frequency factors \(low) and \(high), context "
            + "\(original): expected a factor of at least 1 and 0 < low < high")
      }
    case .yarn(let yarn):
      let numbers = [yarn.factor, yarn.slowTurns, yarn.fastTurns, yarn.attentionFactor]
      guard numbers.allSatisfy({ $0 > 0 && $0.isFinite }), yarn.factor >= 1,
        yarn.fastTurns >= yarn.slowTurns, yarn.original > 0
      else {
        throw ConfigurationError(
          .size,
          "yarn rope scaling of factor \(yarn.factor), turns \(yarn.slowTurns) and \(yarn.fastTurns), "
            + "attention factor \(yarn.attentionFactor), context \(yarn.original): expected a factor of "
            + "at least 1 and 0 < slow <= fast")
      }
    case .longRope(let long):
      for factors in [long.shortFactors, long.longFactors] {
        guard factors.count == pairs else {
          throw ConfigurationError(
            .size, "longrope scaling of \(factors.count) factors: expected \(pairs)")
        }
      }
      let numbers = long.shortFactors + long.longFactors + [long.attentionFactor]
      guard numbers.allSatisfy({ $0 > 0 && $0.isFinite }), long.original > 0 else {
        throw ConfigurationError(
          .size,
          "longrope scaling of attention factor \(long.attentionFactor), context \(long.original): "
            + "expected numbers above 0, and so of every factor")
      }
    }
  }
}
