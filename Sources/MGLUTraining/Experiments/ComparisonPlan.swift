/// The plan of a comparison: units, each with every seed and learning rate, on one model and one corpus.
public struct ComparisonPlan: Sendable {
  /// The units; differences are taken to the first.
  public var units: [UnitSpecification]
  /// Seeds of initial weights and windows: runs of one seed see the same batches.
  public var seeds: [UInt64]
  /// Learning rates after the warm-up; each falls to a tenth.
  public var learningRates: [Double]
  /// Whether d is widened so that every unit has the first one's weight count.
  public var matchesParameters: Bool
  /// The model, whose unit is exchanged.
  public var model: ModelConfiguration
  /// The settings of every run; seed and learning rates are taken from the lists.
  public var settings: TrainingConfiguration
  /// The minutes that the steps are planned for (``steps(forMinutes:tokenizer:corpus:on:output:)``), if
  /// they are: a comparison that goes on has to be asked for the same.
  public var minutes: Double?

  /// A plan; ``validate()`` checks it.
  public init(
    units: [UnitSpecification], seeds: [UInt64] = [1], learningRates: [Double] = [1e-3],
    matchesParameters: Bool = false, model: ModelConfiguration, settings: TrainingConfiguration
  ) {
    self.units = units
    self.seeds = seeds
    self.learningRates = learningRates
    self.matchesParameters = matchesParameters
    self.model = model
    self.settings = settings
  }

  /// Throws the first problem of the lists, or of the settings or the model of a run.
  public func validate() throws {
    for (name, count, distinct) in [
      ("units", units.count, Set(units).count), ("seeds", seeds.count, Set(seeds).count),
      ("learning rates", learningRates.count, Set(learningRates).count),
    ] {
      guard count > 0, count == distinct else {
        throw ExperimentError(
          .setting,
          "\(count) \(name), \(distinct) of them different: expected at least one, each "
            + "once")
      }
    }
    for run in runs {
      try run.model.validate()
      try run.settings.validate()
    }
  }

  /// One run of the comparison.
  public struct Run: Sendable {
    /// Its unit.
    public let unit: UnitSpecification
    /// Its model, with the unit in it.
    public let model: ModelConfiguration
    /// Its settings, with seed and learning rate.
    public let settings: TrainingConfiguration

    /// Its folder below the comparison's.
    public var folderName: String {
      "runs/\(unit.folderName)/seed-\(settings.seed)-rate-\(settings.learningRate)"
    }

    /// Throws where the run has no room: before anything is allocated or written.
    func checkMemory(on backend: any TrainingBackend) throws(MemoryError) {
      try TrainingMemory(
        model, sequences: settings.batchSize, length: settings.contextLength, purpose: .training,
        on: backend
      ).check(on: backend)
    }
  }

  /// The runs in their order: seed by seed, so that an early stop leaves whole comparisons.
  public var runs: [Run] {
    seeds.flatMap { seed in
      learningRates.flatMap { rate in
        units.map { unit in
          var settings = self.settings
          settings.seed = seed
          settings.learningRate = rate
          settings.minimumLearningRate = rate / 10
          return Run(unit: unit, model: model(with: unit), settings: settings)
        }
      }
    }
  }

  /// The model with `unit`.
  ///
  /// Matched units have the d whose weights come closest to the first one's: d is a whole number,
  /// so that a layer's weights differ by at most half a unit of d, h for LU, shared GLU and MGLU,
  /// 1.5 h for GLU. Masks are not weights.
  public func model(with unit: UnitSpecification) -> ModelConfiguration {
    var result = Self.replacing(unit, in: model)
    guard matchesParameters, let first = units.first else { return result }
    let target = Self.blockWeights(Self.replacing(first, in: model).feedForward)
    let perWidth = result.hiddenSize * (unit.unit == .glu ? 3 : 2)
    let room = target - result.feedForward.routerWeightCount
    result.feedForward.intermediateSize = max(1, (2 * room + perWidth) / (2 * perWidth))
    return result
  }

  private static func replacing(
    _ unit: UnitSpecification, in model: ModelConfiguration
  ) -> ModelConfiguration {
    var result = model
    result.feedForward.unit = unit.unit
    result.feedForward.activation = unit.activation
    return result
  }

  private static func blockWeights(_ block: FeedForwardConfiguration) -> Int {
    block.upWeightCount + block.routerWeightCount + block.intermediateSize * block.hiddenSize
  }
}
