#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How the next token is chosen.
public struct SamplerConfiguration: Sendable, Equatable {
  /// Divides the logits; 0 always takes the largest.
  public var temperature: Float
  /// Keep the K most probable tokens; 0 keeps all.
  public var topK: Int
  /// Keep the smallest set of most probable tokens whose probabilities reach this sum; 1 keeps all.
  public var topP: Float
  /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
  public var minP: Float
  /// The seed of the random choice.
  public var seed: UInt64

  /// Creates a configuration; ``validate()`` checks it.
  public init(
    temperature: Float = 0, topK: Int = 0, topP: Float = 1, minP: Float = 0, seed: UInt64 = 0
  ) {
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.minP = minP
    self.seed = seed
  }

  /// Throws the first setting that is out of its range.
  public func validate() throws(GenerationError) {
    guard temperature >= 0, temperature.isFinite else {
      throw GenerationError(.sampling, "temperature \(temperature): expected 0 or more")
    }
    guard topK >= 0 else {
      throw GenerationError(.sampling, "top-k \(topK): expected 0 (off) or more")
    }
    guard topP > 0, topP <= 1 else {
      throw GenerationError(.sampling, "top-p \(topP): expected more than 0 and at most 1")
    }
    guard minP >= 0, minP <= 1 else {
      throw GenerationError(.sampling, "min-p \(minP): expected 0 to 1")
    }
  }
}

/// Chooses tokens from logits: temperature, then top-k, top-p and min-p in that order (that of
/// Hugging Face transformers), then a draw.
public struct Sampler: Sendable {
  private let configuration: SamplerConfiguration
  private var random: Philox
  private var candidates: [(id: Int32, probability: Float)] = []

  /// A sampler at the start of its stream of random numbers.
  public init(_ configuration: SamplerConfiguration) throws(GenerationError) {
    try configuration.validate()
    self.configuration = configuration
    random = Philox(seed: configuration.seed, purpose: .sampling)
  }

  /// The next token of `logits` `[V]`. Equal logits: the lower id counts as larger. Not-a-number
  /// is never chosen while another logit is left.
  public mutating func sample(_ logits: Span<Float>) -> Int32 {
    var best = 0
    for index in logits.indices where logits[index] > logits[best] || logits[best].isNaN {
      best = index
    }
    guard configuration.temperature > 0 else { return Int32(best) }
    keepCandidates(logits, largest: logits[best])
    let total = candidates.reduce(0) { $0 + $1.probability }
    var left = random.nextUniform() * total
    for candidate in candidates {
      left -= candidate.probability
      if left < 0 { return candidate.id }
    }
    return candidates.last?.id ?? Int32(best)
  }

  /// Leaves the tokens that may be drawn, with their probabilities up to a common factor.
  private mutating func keepCandidates(_ logits: Span<Float>, largest: Float) {
    candidates.removeAll(keepingCapacity: true)
    for index in logits.indices {
      let probability = exp((logits[index] - largest) / configuration.temperature)
      if probability > 0 { candidates.append((Int32(index), probability)) }
    }
    truncate()
    // The most probable token has probability 1 here, so min-p is a plain threshold.
    if configuration.minP > 0 { candidates.removeAll { $0.probability < configuration.minP } }
  }

  /// Applies top-k, then top-p to what top-k left.
  private mutating func truncate() {
    let truncates =
      configuration.topP < 1
      || (configuration.topK > 0 && configuration.topK < candidates.count)
    guard truncates else { return }
    let total = candidates.reduce(0) { $0 + $1.probability }
    candidates.sort { ($0.probability, $1.id) > ($1.probability, $0.id) }
    var kept = candidates.count
    var mass = total
    if configuration.topK > 0, configuration.topK < kept {
      kept = configuration.topK
      mass = candidates.prefix(kept).reduce(0) { $0 + $1.probability }
    }
    if configuration.topP < 1 {
      var sum: Float = 0
      for index in 0..<kept {
        sum += candidates[index].probability
        if sum >= configuration.topP * mass {
          kept = index + 1
          break
        }
      }
    }
    candidates.removeSubrange(kept...)
  }
}
