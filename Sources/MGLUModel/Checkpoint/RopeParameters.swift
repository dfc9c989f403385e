/// The rotary frequencies of a `config.json`: newer files' `rope_parameters`, older ones'
/// `rope_scaling`.
struct RopeParameters: Codable, Equatable {
  var type: String?
  var legacyType: String?
  var theta: Double?
  var factor: Double?
  var lowFrequency: Double?
  var highFrequency: Double?
  var original: Int?
  var rotatedShare: Double?
  var attentionFactor: Double?
  var fastTurns: Double?
  var slowTurns: Double?
  var scale: Double?
  var scaleOfAll: Double?
  var isTruncated: Bool?
  var shortFactors: [Double]?
  var longFactors: [Double]?
  var ofFullAttention: HuggingFaceConfiguration.Unread?
  var ofSlidingAttention: HuggingFaceConfiguration.Unread?

  enum CodingKeys: String, CodingKey {
    case type = "rope_type"
    case legacyType = "type"
    case theta = "rope_theta"
    case factor
    case lowFrequency = "low_freq_factor"
    case highFrequency = "high_freq_factor"
    case original = "original_max_position_embeddings"
    case rotatedShare = "partial_rotary_factor"
    case attentionFactor = "attention_factor"
    case fastTurns = "beta_fast"
    case slowTurns = "beta_slow"
    case scale = "mscale"
    case scaleOfAll = "mscale_all_dim"
    case isTruncated = "truncate"
    case shortFactors = "short_factor"
    case longFactors = "long_factor"
    case ofFullAttention = "full_attention"
    case ofSlidingAttention = "sliding_attention"
  }
}

extension RopeParameters {
  /// The keys that describe `scaling`.
  init(_ scaling: RopeScaling) {
    switch scaling {
    case .linear(let factor):
      type = "linear"
      self.factor = factor
    case .llama3(let factor, let low, let high, let original):
      type = "llama3"
      (self.factor, lowFrequency, highFrequency) = (factor, low, high)
      self.original = original
    case .yarn(let yarn):
      type = "yarn"
      (factor, original, attentionFactor) = (yarn.factor, yarn.original, yarn.attentionFactor)
      (fastTurns, slowTurns, isTruncated) = (yarn.fastTurns, yarn.slowTurns, yarn.isTruncated)
    case .longRope(let long):
      type = "longrope"
      (shortFactors, longFactors) = (long.shortFactors, long.longFactors)
      (original, attentionFactor) = (long.original, long.attentionFactor)
    }
  }

  /// The scaling that the keys describe of a model with some context, `nil` for none, or which of them
  /// are missing or unknown. An original context given beside them has priority, as in transformers.
  func scaling(context: Int, original: Int?) throws(CheckpointError) -> RopeScaling? {
    let original = original ?? self.original
    let type = type ?? legacyType ?? "default"
    func required<T>(_ value: T?, _ key: CodingKeys) throws(CheckpointError) -> T {
      guard let value else {
        throw CheckpointError(
          .malformed, "config.json: rope scaling of type \(type) lacks \(key.rawValue)")
      }
      return value
    }
    guard ofFullAttention == nil, ofSlidingAttention == nil else {
      throw CheckpointError(
        .malformed,
        "config.json: rope parameters of full_attention and sliding_attention apart are not supported, "
          + "expected one set")
    }
    switch type {
    case "default": return nil
    case "linear": return .linear(factor: try required(factor, .factor))
    case "llama3":
      return .llama3(
        factor: try required(factor, .factor),
        lowFrequency: try required(lowFrequency, .lowFrequency),
        highFrequency: try required(highFrequency, .highFrequency),
        original: try required(original, .original))
    // Early releases of Phi-3 had other names.
    case "longrope", "su",
      "yarn" where shortFactors != nil:
      let original = original ?? context
      let factor = factor ?? Double(context) / Double(max(1, original))
      return .longRope(
        .init(
          shortFactors: try required(shortFactors, .shortFactors),
          longFactors: try required(longFactors, .longFactors), original: original,
          attentionFactor: attentionFactor
            ?? RopeScaling.LongRopeScaling.attentionFactor(of: factor, original: original)))
    case "yarn":
      if original == nil { _ = try required(factor, .factor) }
      return .yarn(yarn(context: context, original: original ?? context))
    default:
      throw CheckpointError(
        .malformed,
        "config.json: rope scaling of type \(type) is not supported, expected default, linear, llama3, "
          + "yarn or longrope")
    }
  }

  private func yarn(context: Int, original: Int) -> RopeScaling.YarnScaling {
    let factor = factor ?? Double(context) / Double(max(1, original))
    var attention = attentionFactor
    if attention == nil, let scale, let scaleOfAll, scale != 0, scaleOfAll != 0 {
      attention =
        RopeScaling.YarnScaling.attentionFactor(of: factor, scale: scale)
        / RopeScaling.YarnScaling.attentionFactor(of: factor, scale: scaleOfAll)
    }
    func given(_ value: Double?, else other: Double) -> Double {
      value == 0 ? other : value ?? other
    }
    return RopeScaling.YarnScaling(
      factor: factor, original: original, fastTurns: given(fastTurns, else: 32),
      slowTurns: given(slowTurns, else: 1), attentionFactor: attention,
      isTruncated: isTruncated ?? true)
  }
}
