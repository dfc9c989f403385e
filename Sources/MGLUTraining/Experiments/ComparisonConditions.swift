/// The conditions that all runs of a folder share, kept in `comparison.json`: a command that asks for
/// something else there is refused. Units, seeds and learning rates may be added.
struct ComparisonConditions: Codable, Equatable {
  static let fileName = "comparison.json"

  let steps: Int
  /// The time that the steps were planned for, if one was given.
  let minutes: Double?
  let batchSize: Int
  let contextLength: Int
  let gradientAccumulation: Int
  let warmupSteps: Int
  let evaluateEvery: Int
  let evaluationTokens: Int
  let optimizer: AdamW.Settings
  let model: String
  /// The keys of the model's `config.json` but those of the unit. Older comparisons have none.
  let modelKeys: [String: String]?
  /// The weights that every unit is widened to.
  let matchedWeights: Int?
  let trainingTokens: Int
  let trainingData: UInt32
  let validationTokens: Int
  let validationData: UInt32

  init(_ plan: ComparisonPlan, _ corpus: Corpus) {
    let (settings, model) = (plan.settings, plan.model)
    steps = settings.steps
    minutes = plan.minutes
    batchSize = settings.batchSize
    contextLength = settings.contextLength
    gradientAccumulation = settings.gradientAccumulation
    warmupSteps = settings.warmupSteps
    evaluateEvery = settings.evaluateEvery
    evaluationTokens = settings.evaluationTokens
    optimizer = settings.optimizer
    let attention = model.attention
    self.model =
      "\(model.layers) layers, h \(model.hiddenSize), d \(model.feedForward.intermediateSize), "
      + "\(attention.heads) heads, \(attention.kvHeads) kv heads, vocabulary "
      + "\(model.vocabularySize), context \(model.contextLength), "
      + (model.tiesEmbeddings ? "tied" : "untied") + " embeddings"
    modelKeys = model.wordsBesideUnit
    matchedWeights =
      plan.matchesParameters ? plan.units.first.map { plan.model(with: $0).weightCount } : nil
    trainingTokens = corpus.training.count
    trainingData = corpus.training.fingerprint
    validationTokens = corpus.validation.count
    validationData = corpus.validation.fingerprint
  }

  /// The conditions of the comparison in `folder`, if there is one.
  static func read(in folder: String) throws -> ComparisonConditions? {
    try ExperimentFile.read(Self.self, from: "\(folder)/\(fileName)")
  }

  /// Throws the differences from the conditions of `folder`; writes them where it has none.
  func establish(in folder: String) throws {
    guard let found = try Self.read(in: folder) else {
      try Folder.create(folder)
      return try ExperimentFile.write(self, to: "\(folder)/\(Self.fileName)")
    }
    func difference<T: Equatable>(_ name: String, _ field: KeyPath<Self, T>) -> String? {
      self[keyPath: field] == found[keyPath: field]
        ? nil : "\(name) \(self[keyPath: field]), not \(found[keyPath: field])"
    }
    var differences = [
      difference("steps", \.steps),
      // Steps that were given may be those of some minutes.
      minutes == nil || found.minutes == nil ? nil : difference("minutes", \.minutes!),
      difference("batch size", \.batchSize),
      difference("context", \.contextLength),
      difference("gradient accumulation", \.gradientAccumulation),
      difference("warm-up steps", \.warmupSteps),
      difference("steps between validations", \.evaluateEvery),
      difference("validation tokens", \.evaluationTokens), difference("model", \.model),
      found.matchedWeights == matchedWeights ? nil : "other matched weight counts",
      found.optimizer == optimizer ? nil : "other settings of AdamW",
      found.trainingData == trainingData ? nil : "other training data",
      found.validationData == validationData ? nil : "other validation data",
    ].compactMap { $0 }
    // A sentence that differs says it already.
    if found.model == model, let modelKeys, let others = found.modelKeys {
      differences += ModelConfiguration.differences(modelKeys, from: others)
    }
    guard differences.isEmpty else {
      throw ExperimentError(
        .disagreement,
        "\(folder) holds a comparison under other conditions: "
          + differences.joined(separator: "; "),
        remedy: "ask for the same, or choose another output folder")
    }
  }
}
