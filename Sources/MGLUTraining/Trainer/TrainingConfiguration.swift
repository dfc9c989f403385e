/// Problems of a training run.
public enum TrainingProblem: Sendable {
  /// A setting out of its range.
  case setting
  /// The output folder holds a run already.
  case outputExists
  /// The output folder holds a model, but no checkpoint.
  case outputHoldsModel
  /// The checkpoint to resume is beyond the configured steps.
  case beyondSteps
  /// The run to resume was made with other settings or other data.
  case disagreement
  /// The loss or the gradient is no longer a finite number.
  case nonFinite
  /// No checkpoint of the run is whole.
  case noUsableCheckpoint
}

/// An error of training.
public typealias TrainingError = Failure<TrainingProblem>

/// The settings of a run. Equal settings and data give equal models, bit for bit, on one kind of processor
/// with one BLAS and number of threads, or on one kind of GPU with one cuBLASLt.
public struct TrainingConfiguration: Sendable, Equatable, Codable {
  /// Optimizer steps.
  public var steps: Int
  /// Sequences of a micro-batch.
  public var batchSize: Int
  /// Tokens of a window.
  public var contextLength: Int
  /// Micro-batches whose gradients make one step.
  public var gradientAccumulation: Int
  /// The learning rate after warm-up.
  public var learningRate: Double
  /// The learning rate at the end of the steps.
  public var minimumLearningRate: Double
  /// Steps over which the learning rate rises.
  public var warmupSteps: Int
  /// The settings of AdamW.
  public var optimizer: AdamW.Settings
  /// How much a teacher counts, or `nil` without one.
  public var distillation: Distillation?
  /// The seed of the windows drawn.
  public var seed: UInt64
  /// Steps between validations; 0 validates at the end only.
  public var evaluateEvery: Int
  /// The most validation tokens that are predicted at a validation; 0 for all.
  public var evaluationTokens: Int
  /// Steps between checkpoints; 0 saves at the end only.
  public var saveEvery: Int
  /// How many checkpoints are kept.
  public var keptCheckpoints: Int

  /// The most tokens of a micro-batch.
  static let mostTokens = 1 << 30

  /// Creates settings, by default those of nanoGPT's small CPU runs; ``validate()`` checks them.
  public init(
    steps: Int = 2000, batchSize: Int = 12, contextLength: Int = 64,
    gradientAccumulation: Int = 1, learningRate: Double = 1e-3,
    minimumLearningRate: Double = 1e-4, warmupSteps: Int = 100,
    optimizer: AdamW.Settings = .init(), distillation: Distillation? = nil, seed: UInt64 = 1,
    evaluateEvery: Int = 250,
    evaluationTokens: Int = 1 << 18, saveEvery: Int = 500, keptCheckpoints: Int = 2
  ) {
    self.steps = steps
    self.batchSize = batchSize
    self.contextLength = contextLength
    self.gradientAccumulation = gradientAccumulation
    self.learningRate = learningRate
    self.minimumLearningRate = minimumLearningRate
    self.warmupSteps = warmupSteps
    self.optimizer = optimizer
    self.distillation = distillation
    self.seed = seed
    self.evaluateEvery = evaluateEvery
    self.evaluationTokens = evaluationTokens
    self.saveEvery = saveEvery
    self.keptCheckpoints = keptCheckpoints
  }

  /// Tokens of a step.
  public var tokensPerStep: Int { batchSize * contextLength * gradientAccumulation }

  /// The learning rate of each step.
  public var schedule: LearningRateSchedule {
    LearningRateSchedule(
      peak: learningRate, minimum: minimumLearningRate, warmupSteps: warmupSteps, steps: steps)
  }

  /// Throws the first setting that is out of its range.
  public func validate() throws(TrainingError) {
    for (name, value, least) in [
      ("steps", steps, 1), ("batch size", batchSize, 1), ("context", contextLength, 1),
      ("gradient accumulation", gradientAccumulation, 1), ("warm-up steps", warmupSteps, 0),
      ("steps between validations", evaluateEvery, 0), ("validation tokens", evaluationTokens, 0),
      ("steps between checkpoints", saveEvery, 0), ("kept checkpoints", keptCheckpoints, 1),
    ] where value < least || value > 1 << 40 {
      throw TrainingError(.setting, "\(name): \(value): expected \(least) to \(1 << 40)")
    }
    let (tokens, overflows) = batchSize.multipliedReportingOverflow(by: contextLength)
    guard !overflows, tokens <= Self.mostTokens else {
      throw TrainingError(
        .setting,
        "a batch of \(batchSize) windows of \(contextLength) tokens: expected "
          + "\(Self.mostTokens) tokens at most", remedy: "use more gradient accumulation")
    }
    // Of all steps, so that no count of tokens overflows.
    var all = tokens
    for factor in [gradientAccumulation, steps] {
      let (product, overflows) = all.multipliedReportingOverflow(by: factor)
      guard !overflows, product <= 1 << 60 else {
        throw TrainingError(
          .setting,
          "\(steps) steps of \(gradientAccumulation) times \(tokens) tokens: expected 2^60 tokens "
            + "at most")
      }
      all = product
    }
    for (name, value) in [
      ("learning rate", learningRate), ("minimum learning rate", minimumLearningRate),
      ("weight decay", Double(optimizer.weightDecay)), ("clip norm", Double(optimizer.clipNorm)),
    ] where !(value >= 0 && value.isFinite) {
      throw TrainingError(.setting, "\(name): \(value): expected a finite number of 0 or more")
    }
    if let distillation {
      guard (0...1).contains(distillation.share), distillation.temperature > 0,
        distillation.temperature.isFinite
      else {
        throw TrainingError(
          .setting,
          "a share \(distillation.share) of distillation at a temperature of "
            + "\(distillation.temperature): expected 0 to 1, and more than 0")
      }
    }
    guard optimizer.epsilon > 0, optimizer.epsilon.isFinite else {
      throw TrainingError(.setting, "epsilon \(optimizer.epsilon): expected more than 0")
    }
    guard (0..<1).contains(optimizer.beta1), (0..<1).contains(optimizer.beta2) else {
      throw TrainingError(
        .setting, "betas \(optimizer.beta1) and \(optimizer.beta2): expected 0 to below 1")
    }
    guard minimumLearningRate <= learningRate else {
      throw TrainingError(
        .setting,
        "minimum learning rate \(minimumLearningRate) is above the learning rate \(learningRate)")
    }
  }

  /// The settings that differ from `other` and change the result, in words.
  func differences(from other: TrainingConfiguration) -> [String] {
    // As many digits as options have.
    func words<T>(_ value: T) -> String { (value as? Double).map { "\(Float($0))" } ?? "\(value)" }
    func difference<T: Equatable>(_ name: String, _ field: KeyPath<Self, T>) -> String? {
      let (own, others) = (self[keyPath: field], other[keyPath: field])
      guard own != others else { return nil }
      return words(own) == words(others)
        ? "\(name) \(own), not \(others)" : "\(name) \(words(own)), not \(words(others))"
    }
    return [
      difference("batch size", \.batchSize), difference("context", \.contextLength),
      difference("gradient accumulation", \.gradientAccumulation),
      difference("learning rate", \.learningRate),
      difference("minimum learning rate", \.minimumLearningRate),
      difference("warm-up steps", \.warmupSteps), difference("seed", \.seed),
      difference("weight decay", \.optimizer.weightDecay),
      difference("beta1", \.optimizer.beta1), difference("beta2", \.optimizer.beta2),
      difference("epsilon", \.optimizer.epsilon), difference("clip norm", \.optimizer.clipNorm),
      difference("distillation", \.distillationInWords),
    ].compactMap { $0 }
  }

  private var distillationInWords: String {
    distillation.map { "\($0.share) at temperature \($0.temperature)" } ?? "none"
  }
}
