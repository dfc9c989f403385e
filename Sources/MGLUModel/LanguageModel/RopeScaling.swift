/// How rotary frequencies are changed so that a model reads longer texts than it was first trained
/// on, as Hugging Face names the ways.
public enum RopeScaling: Sendable, Equatable {
  /// Every frequency is divided by `factor`: positions are squeezed.
  case linear(factor: Double)
  /// Llama 3: frequencies that turn at least `highFrequency` times in the `original` context stay,
  /// those that turn at most `lowFrequency` times are divided by `factor`, and what lies between is
  /// interpolated.
  case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, original: Int)

  /// A frequency, in radians per position, after scaling.
  package func scaled(_ frequency: Double) -> Double {
    switch self {
    case .linear(let factor): return frequency / factor
    case .llama3(let factor, let low, let high, let original):
      let turns = Double(original) * frequency / (2 * .pi)
      if turns > high { return frequency }
      if turns < low { return frequency / factor }
      let share = (turns - low) / (high - low)
      return (1 - share) * frequency / factor + share * frequency
    }
  }

  /// Throws what would leave no finite frequency.
  func validate() throws(ConfigurationError) {
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
    }
  }
}
