/// How the tokens of a sequence are sampled.
public struct SamplingParameters: Sendable, Equatable, Codable {
  /// Divides the logits; 0 always takes the largest.
  public var temperature: Float
  /// Keep the K most probable tokens, and those as probable as the last of them; 0 keeps all.
  public var topK: Int
  /// Keep the smallest set of most probable tokens whose probabilities reach this sum; 1 keeps all, 0
  /// always takes the largest.
  public var topP: Float
  /// Keep tokens at least this fraction as probable as the most probable one; 0 keeps all.
  public var minP: Float
  /// The seed of the sequence's random numbers.
  public var seed: UInt64
  /// Divides the positive logits of tokens that the sequence has, its prompt included, and multiplies the
  /// others; 1 changes nothing.
  public var repetitionPenalty: Float = 1
  /// Subtracted from the logits of tokens that were generated before.
  public var presencePenalty: Float = 0
  /// Subtracted from the logit of a token for each time that it was generated before.
  public var frequencyPenalty: Float = 0
  /// Added to the logits of tokens, before all penalties.
  public var logitBias: [Int32: Float] = [:]

  /// Creates parameters; ``validate()`` checks them.
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
    guard topP >= 0, topP <= 1 else {
      throw GenerationError(.sampling, "top-p \(topP): expected 0 to 1")
    }
    guard minP >= 0, minP <= 1 else {
      throw GenerationError(.sampling, "min-p \(minP): expected 0 to 1")
    }
    guard repetitionPenalty > 0, repetitionPenalty.isFinite else {
      throw GenerationError(
        .sampling, "repetition penalty \(repetitionPenalty): expected more than 0")
    }
    for (name, value) in [("presence", presencePenalty), ("frequency", frequencyPenalty)]
    where !(-2...2).contains(value) {
      throw GenerationError(.sampling, "\(name) penalty \(value): expected -2 to 2")
    }
    for (token, bias) in logitBias where !(-100...100).contains(bias) {
      throw GenerationError(
        .sampling, "logit bias \(bias) of token \(token): expected -100 to 100")
    }
  }
}

/// The sampling of a sequence's tokens: its parameters, with a stream of random numbers of its own.
public struct Sampler: Sendable {
  private let parameters: SamplingParameters
  private var random: Philox
  /// The changes of the sequence's logits, if there are any.
  var processor: LogitsProcessor?

  /// A sampler at the start of its stream of random numbers.
  public init(_ parameters: SamplingParameters) throws(GenerationError) {
    try parameters.validate()
    self.parameters = parameters
    random = Philox(seed: parameters.seed, purpose: .sampling)
  }

  /// How the next token is sampled; draws a number where the temperature asks for one.
  public mutating func nextStep() -> SamplingStep {
    let temperature = parameters.topP > 0 ? parameters.temperature : 0
    return SamplingStep(
      temperature: temperature, topK: parameters.topK, topP: parameters.topP,
      minP: parameters.minP, uniform: temperature > 0 ? random.nextUniform() : 0)
  }
}
