/// The speed of a run, apart from its results.
public struct RunTiming: Sendable, Equatable, Codable {
  static let fileName = "timing.json"

  /// The unit's name.
  public let unit: String
  /// The seed.
  public let seed: UInt64
  /// The learning rate.
  public let learningRate: Double
  /// Training tokens per second of the call that ended the run, those of all processes; `nil` if it
  /// did no step.
  public let trainingTokensPerSecond: Double?
  /// The processes that trained the run together; `nil` for one.
  public private(set) var processes: Int?
  /// Tokens per second written one by one, over packed masks and weights of the type that training
  /// multiplies in: FP32 on a CPU, BF16 on a GPU. `nil` where the model cannot decode.
  public let decodeTokensPerSecond: Double?
  /// Seconds of the call that ended the run.
  public let seconds: Double

  init(_ run: ComparisonPlan.Run, _ summary: TrainingSummary?, model: LanguageModel) throws {
    unit = run.unit.description
    seed = run.settings.seed
    learningRate = run.settings.learningRate
    trainingTokensPerSecond = summary.flatMap { $0.tokensPerSecond > 0 ? $0.tokensPerSecond : nil }
    seconds = summary?.seconds ?? 0
    do {
      decodeTokensPerSecond = summary == nil ? nil : try Self.decodeSpeed(model)
    } catch let error as GenerationError where error.code == .notFinite {
      decodeTokensPerSecond = nil
    }
  }

  /// The fastest of twenty sequences as long as the context, at most 64 tokens: other work of the machine
  /// only slows them, and a small model's sequence takes milliseconds.
  private static func decodeSpeed(_ model: LanguageModel) throws -> Double {
    let weights = WeightType(model.backend.productType) ?? .float32
    let session = InferenceSession(try InferenceModel(model, weights: weights))
    let count = min(session.contextLength, 64)
    let clock = ContinuousClock()
    let speeds = try (0..<20).map { _ in
      let start = clock.now
      try session.generateGreedily(count)
      return Double(count) / ((clock.now - start) / .seconds(1))
    }
    return speeds.max() ?? 0
  }
}
