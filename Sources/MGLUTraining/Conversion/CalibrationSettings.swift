import MGLUModel

/// How ``CalibratedConversion`` fits the blocks.
public struct CalibrationSettings: Sendable, Equatable, Codable {
  /// Masks of each MGLU, 1 to 16.
  public var masks: Int
  /// Tokens of a window of the calibration text.
  public var contextLength: Int
  /// Steps of AdamW for each block; 0 leaves a block as Optimal Brain Surgeon fitted it.
  public var tuneSteps: Int
  /// The most rows of a step.
  public var tuneRows: Int
  /// The rate after ten steps of warm-up, as a share of the root mean square of each matrix; half a
  /// cosine takes it to zero.
  public var learningRate: Double
  /// Seed of the order in which rows are drawn.
  public var seed: UInt64

  /// Settings; what they are by default was measured on SmolLM2-135M.
  public init(
    masks: Int, contextLength: Int = 1024, tuneSteps: Int = 200, tuneRows: Int = 8192,
    learningRate: Double = 0.01, seed: UInt64 = 1
  ) {
    self.masks = masks
    self.contextLength = contextLength
    self.tuneSteps = tuneSteps
    self.tuneRows = tuneRows
    self.learningRate = learningRate
    self.seed = seed
  }

  /// So that the steps of all layers can be counted.
  private static let mostSteps = 1 << 30

  func validate(for configuration: ModelConfiguration) throws(ConversionError) {
    guard (1...configuration.contextLength).contains(contextLength) else {
      throw ConversionError(
        .setting,
        "calibration windows of \(contextLength) tokens: expected 1 to the model's "
          + "\(configuration.contextLength)")
    }
    guard (0...Self.mostSteps).contains(tuneSteps), tuneRows >= 1, learningRate > 0,
      learningRate.isFinite
    else {
      throw ConversionError(
        .setting,
        "\(tuneSteps) tuning steps of \(tuneRows) rows at a rate of \(learningRate): expected 0 to "
          + "\(Self.mostSteps), at least 1 and above 0")
    }
  }

  /// Bytes that a conversion of a model takes where it computes, beside the model: the residual streams
  /// and inputs of `tokens` tokens, one block with gradients and moments, and the activations of a
  /// mini-batch, with products of `type`.
  public func byteCount(
    _ configuration: ModelConfiguration, tokens: Int, type: DataType
  ) -> Double {
    let (d, h) = (
      Double(configuration.feedForward.intermediateSize), Double(configuration.hiddenSize)
    )
    let (narrow, streams) = (Double(type.byteCount), Double(masks) + 1)
    let rows = Double(min(tuneRows, tokens))
    return 4 * Double(tokens) * h * narrow
      + d * h * (4 * 8 + 4 * Double(masks) + (4 + narrow) * streams)
      + rows * narrow * (d * (streams + 2) + 5 * h)
  }
}
