import ArgumentParser
import MGLUTraining

/// The units of `mglu compare`, and the settings of each run.
struct ComparisonOptions: ParsableArguments {
  @Option(
    help: "A file of settings; options given beside it go first.", completion: .file())
  var recipe: String?
  @Option(help: "The scale of the recipe (default: nano).") var scale: String?
  @Option(help: "Units with commas between them, the first to compare with.")
  var units: String?
  @Flag(help: "Widen d so that every unit has the first one's weights.") var matchParameters = false
  @Option(help: "Seeds with commas between them (default: 1).") var seeds: String?
  @Option(help: "Learning rates with commas between them (default: 1e-3).")
  var learningRates: String?
  @Option(help: "Shape by name (default: nano).") var preset: ModelPreset?
  @Option(help: "Shape from a config.json instead.", completion: .file()) var config: String?
  @Option(help: "Optimizer steps of each run (default: 2000).") var steps: Int?
  @Option(help: "Instead: as many steps as take this long for all runs together.")
  var minutes: Double?
  @Option(help: "Sequences of a micro-batch (default: 12).") var batchSize: Int?
  @Option(help: "Tokens of a window (default: the preset's).") var context: Int?
  @Option(help: "Micro-batches whose gradients make one step (default: 1).")
  var gradientAccumulation: Int?
  @Option(help: "Warm-up (default: 100 steps, at most a tenth).") var warmupSteps: Int?
  @Option(help: "Steps between validations (default: a tenth of all).") var evalEvery: Int?
  @Option(help: "Maximum validation tokens to predict; 0 for all.")
  var evalTokens = 1 << 18
  @Option(help: "Steps between checkpoints.") var saveEvery = 500

  func validate() throws {
    if scale != nil, recipe == nil { throw ValidationError("--scale belongs to --recipe") }
    if preset != nil, config != nil {
      throw ValidationError("--preset and --config exclude each other")
    }
    if steps != nil, minutes != nil {
      throw ValidationError("--steps and --minutes exclude each other")
    }
  }

  /// The recipe in the file that was given. A comparison may take days and the file change: it is
  /// read once.
  func readRecipe() throws -> ComparisonRecipe? {
    try recipe.map { try ComparisonRecipe(contentsOf: $0) }
  }

  /// The request of the options, completed by `recipe`.
  func request(_ recipe: ComparisonRecipe?) throws -> ComparisonRequest {
    var request = ComparisonRequest()
    request.units = units.map { [$0] }
    request.matchParameters = matchParameters ? true : nil
    request.seeds = try seeds.map { try Self.numbers($0, "seeds") }
    request.learningRates = try learningRates.map { try Self.numbers($0, "learning-rates") }
    request.preset = preset?.rawValue
    request.steps = steps
    request.batchSize = batchSize
    request.context = context
    request.gradientAccumulation = gradientAccumulation
    request.warmupSteps = warmupSteps
    request.evaluateEvery = evalEvery
    guard let recipe else { return request }
    return request.completed(by: try recipe.request(scale: scale ?? "nano"))
  }

  /// The plan of `request`.
  func plan(_ request: ComparisonRequest, tokenizer: Tokenizer) throws -> ComparisonPlan {
    let shape = try config.map { path throws(CheckpointError) in
      try ModelFolder.configuration(ofFile: path)
    }
    return try request.plan(
      tokenizer: tokenizer, shape: shape, evaluationTokens: evalTokens, saveEvery: saveEvery)
  }

  /// The numbers of a list with commas.
  static func numbers<T: LosslessStringConvertible>(
    _ items: String, _ name: String
  ) throws -> [T] {
    try items.split(separator: ",", omittingEmptySubsequences: false).map { part in
      guard let value = T(part.filter { $0 != " " }) else {
        throw ExperimentError(.setting, "--\(name) \(items): \"\(part)\" is no number of the list")
      }
      return value
    }
  }
}
