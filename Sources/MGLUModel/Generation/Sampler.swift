/// How the next token is chosen.
public struct SamplingParameters: Sendable, Equatable {
  /// Divides the logits; 0 always takes the largest.
  public var temperature: Float
  /// Keep the K most probable tokens, and those as probable as the last of them; 0 keeps all.
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

/// Chooses tokens from logits, as `SamplingStep` says, with a stream of random numbers of its own.
public struct Sampler: Sendable {
  private let configuration: SamplingParameters
  private var random: Philox
  private var chooser = HostSampler()

  /// A sampler at the start of its stream of random numbers.
  public init(_ configuration: SamplingParameters) throws(GenerationError) {
    try configuration.validate()
    self.configuration = configuration
    random = Philox(seed: configuration.seed, purpose: .sampling)
  }

  /// How the next token is to be chosen; draws a number where chance is asked for.
  public mutating func nextChoice() -> SamplingStep {
    SamplingStep(
      temperature: configuration.temperature, topK: configuration.topK, topP: configuration.topP,
      minP: configuration.minP, uniform: configuration.temperature > 0 ? random.nextUniform() : 0)
  }

  /// The next token of `logits` `[V]`; -1 where none of them is a number.
  public mutating func sample(_ logits: Span<Float>) -> Int32 {
    chooser.token(of: logits, by: nextChoice())
  }
}
