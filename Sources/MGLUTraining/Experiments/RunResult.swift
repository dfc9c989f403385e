/// The results of a finished run, from its `metrics.jsonl`, without those that depend on the clock.
public struct RunResult: Sendable, Equatable, Codable {
  /// A value at a step.
  public struct Point: Sendable, Equatable, Codable {
    /// The step.
    public let step: Int
    /// The value.
    public let value: Double
  }

  /// A measurement of the masks, with a number for each layer.
  public struct Masks: Sendable, Equatable, Codable {
    /// The step.
    public let step: Int
    /// Share of ones.
    public let ones: [Double]
    /// Share of bits flipped within 100 steps.
    public let flipsPer100Steps: [Double]?
    /// Share of logits near zero.
    public let nearZero: [Double]
  }

  static let fileName = "result.json"
  /// Points of a training curve: means over equal parts of the run.
  static let curvePoints = 100

  /// The unit's name.
  public internal(set) var unit: String
  /// The seed.
  public let seed: UInt64
  /// The learning rate after the warm-up.
  public let learningRate: Double
  /// d.
  public let intermediateSize: Int
  /// Weights of the model, masks not included.
  public let parameters: Int
  /// Mask bits of the model.
  public let maskBits: Int
  /// MiB of FP16 weights and 1-bit masks.
  public let mebibytes: Double
  /// Steps done.
  public let steps: Int
  /// Why the run has no result: a loss that is not a finite number, in training or at the end.
  public let divergence: String?
  /// Validation loss at the end in nats per token; `nil` if the run diverged.
  public let validationLoss: Double?
  /// e to the validation loss.
  public let perplexity: Double?
  /// Bits for each byte of the validation text.
  public let bitsPerByte: Double?
  /// Mean loss of the last 50 steps.
  public let trainingLoss: Double?
  /// The steps at which the training loss spiked, by the rule of ``LossSpikes``.
  public let spikes: [Int]
  /// Training loss.
  public let trainingCurve: [Point]
  /// Validation loss.
  public let validationCurve: [Point]
  /// The masks over the run.
  public let masks: [Masks]

  /// The result of `run` from the log in `folder`.
  init(_ run: ComparisonPlan.Run, folder: String, divergence: String?) throws {
    let lines = try MetricsLog.lines(in: folder)
    let losses = lines.compactMap(\.loss)
    let validations = lines.filter { $0.validationLoss?.isFinite == true }
    // An earlier validation does not replace a last one that is not a number.
    let end = lines.last { $0.validationLoss != nil }
    let divergence =
      divergence
      ?? (end?.validationLoss?.isFinite == false
        ? "the validation loss after step \(end?.step ?? 0) is not finite" : nil)
    let last = divergence == nil ? end : nil
    unit = run.unit.description
    seed = run.settings.seed
    learningRate = run.settings.learningRate
    intermediateSize = run.model.feedForward.intermediateSize
    parameters = run.model.weightCount
    maskBits = run.model.maskBitCount
    mebibytes = Double(run.model.deployedByteCount) / 1_048_576
    steps = lines.last { $0.loss != nil }?.step ?? 0
    self.divergence = divergence
    validationLoss = last?.validationLoss
    perplexity = last?.validationPerplexity.flatMap { $0.isFinite ? $0 : nil }
    bitsPerByte = last?.bitsPerByte.flatMap { $0.isFinite ? $0 : nil }
    trainingLoss = losses.isEmpty ? nil : losses.suffix(50).mean
    spikes = LossSpikes.steps(of: losses, after: run.settings.warmupSteps)
    trainingCurve = Self.curve(losses)
    validationCurve = validations.map { Point(step: $0.step, value: $0.validationLoss ?? .nan) }
    masks = lines.compactMap { line in
      guard let ones = line.maskOnes, let nearZero = line.maskNearZero else { return nil }
      return Masks(
        step: line.step, ones: ones, flipsPer100Steps: line.maskFlips, nearZero: nearZero)
    }
  }

  private static func curve(_ losses: [Double]) -> [Point] {
    let width = max(1, (losses.count + curvePoints - 1) / curvePoints)
    return stride(from: 0, to: losses.count, by: width).map { start in
      let part = losses[start..<min(start + width, losses.count)]
      return Point(step: part.endIndex, value: part.mean)
    }
  }
}

extension Collection<Double> {
  /// The mean; that of no values is not a number.
  package var mean: Double { reduce(0, +) / Double(count) }

  /// The middle value, of an even number the lower one of the two; `nil` of none.
  package var lowerMedian: Double? { isEmpty ? nil : sorted()[(count - 1) / 2] }

  /// The standard deviation of a sample; `nil` of fewer than two.
  package var standardDeviation: Double? {
    guard count > 1 else { return nil }
    let mean = self.mean
    return (reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)).squareRoot()
  }
}
