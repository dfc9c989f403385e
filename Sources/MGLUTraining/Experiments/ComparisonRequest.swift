/// A user's request for a comparison; each omitted setting has a default.
public struct ComparisonRequest: Sendable, Equatable, Codable {
  /// Specifications of units.
  public var units: [String]?
  /// Whether d is widened to the first unit's weights.
  public var matchParameters: Bool?
  /// Seeds, by default 1.
  public var seeds: [UInt64]?
  /// Learning rates, by default 1e-3.
  public var learningRates: [Double]?
  /// The model's shape by name, by default nano.
  public var preset: String?
  /// Steps of each run, by default 2000.
  public var steps: Int?
  /// Sequences of a micro-batch, by default 12.
  public var batchSize: Int?
  /// Tokens of a window, by default the model's context.
  public var context: Int?
  /// Micro-batches of a step, by default 1.
  public var gradientAccumulation: Int?
  /// By default 100 steps, at most a tenth.
  public var warmupSteps: Int?
  /// Steps between validations, by default a tenth of all.
  public var evaluateEvery: Int?

  /// A request without settings.
  public init() {}

  /// This request, with the settings of `other` where it has none.
  public func completed(by other: ComparisonRequest) -> ComparisonRequest {
    var result = self
    result.units = units ?? other.units
    result.matchParameters = matchParameters ?? other.matchParameters
    result.seeds = seeds ?? other.seeds
    result.learningRates = learningRates ?? other.learningRates
    result.preset = preset ?? other.preset
    result.steps = steps ?? other.steps
    result.batchSize = batchSize ?? other.batchSize
    result.context = context ?? other.context
    result.gradientAccumulation = gradientAccumulation ?? other.gradientAccumulation
    result.warmupSteps = warmupSteps ?? other.warmupSteps
    result.evaluateEvery = evaluateEvery ?? other.evaluateEvery
    return result
  }

  /// The plan, over the vocabulary of `tokenizer` and, if it is given, another shape than the
  /// preset's.
  public func plan(
    tokenizer: Tokenizer, shape: ModelConfiguration? = nil, evaluationTokens: Int = 1 << 18,
    saveEvery: Int = 500
  ) throws -> ComparisonPlan {
    guard let units, !units.isEmpty else {
      throw ExperimentError(
        .setting, "no units to compare", remedy: "name them, as in gelu,swiglu,swimglu:4")
    }
    let name = preset ?? ModelPreset.nano.rawValue
    guard var model = shape ?? ModelPreset(rawValue: name)?.configuration else {
      throw ExperimentError(
        .setting,
        "preset \"\(name)\": expected "
          + ModelPreset.allCases.map(\.rawValue).joined(separator: ", "))
    }
    model.contextLength = context ?? model.contextLength
    model.vocabularySize = tokenizer.vocabularySize
    model.eosTokenIDs = tokenizer.eosTokenID.map { [$0] } ?? []
    let settings = TrainingConfiguration(
      batchSize: batchSize ?? 12, contextLength: model.contextLength,
      gradientAccumulation: gradientAccumulation ?? 1, evaluationTokens: evaluationTokens,
      saveEvery: saveEvery, keptCheckpoints: 1)
    var plan = ComparisonPlan(
      units: try UnitSpecification.list(units.joined(separator: ",")), seeds: seeds ?? [1],
      learningRates: learningRates ?? [1e-3], matchesParameters: matchParameters ?? false,
      model: model, settings: settings)
    set(steps: steps ?? 2000, of: &plan)
    return plan
  }

  /// Gives `plan` its steps, and the settings that follow from them.
  public func set(steps: Int, of plan: inout ComparisonPlan) {
    plan.settings.steps = steps
    plan.settings.warmupSteps = warmupSteps ?? min(100, max(0, steps / 10))
    plan.settings.evaluateEvery = evaluateEvery ?? max(1, steps / 10)
  }
}
