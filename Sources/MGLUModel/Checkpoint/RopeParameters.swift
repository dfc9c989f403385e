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

  enum CodingKeys: String, CodingKey {
    case type = "rope_type"
    case legacyType = "type"
    case theta = "rope_theta"
    case factor
    case lowFrequency = "low_freq_factor"
    case highFrequency = "high_freq_factor"
    case original = "original_max_position_embeddings"
    case rotatedShare = "partial_rotary_factor"
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
    }
  }

  /// The scaling that the keys describe, `nil` for none, or which of them are missing or unknown.
  func scaling() throws(CheckpointError) -> RopeScaling? {
    let type = type ?? legacyType ?? "default"
    func required<T>(_ value: T?, _ key: CodingKeys) throws(CheckpointError) -> T {
      guard let value else {
        throw CheckpointError(
          .malformed, "config.json: rope scaling of type \(type) lacks \(key.rawValue)")
      }
      return value
    }
    guard rotatedShare ?? 1 == 1 else {
      throw CheckpointError(
        .malformed, "config.json: partial_rotary_factor is \(rotatedShare ?? 1), expected 1")
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
    default:
      throw CheckpointError(
        .malformed,
        "config.json: rope scaling of type \(type) is not supported, expected default, linear or "
          + "llama3")
    }
  }
}
