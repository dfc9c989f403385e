/// The events of a comparison.
public enum ComparisonEvent: Sendable {
  /// A run begins, the `index`-th of all, from 0.
  case began(ComparisonPlan.Run, index: Int)
  /// Something happened in the run.
  case training(TrainingEvent)
  /// The run is done, or was done before.
  case finished(ComparisonPlan.Run, RunResult, before: Bool)
}

/// Trains the runs of a plan one after the other, each in a folder of its own.
///
/// A finished run is not run again and a killed one goes on, so that the same call ends with the
/// same results, however often it was stopped.
public struct Comparison {
  /// The units and their runs.
  public let plan: ComparisonPlan
  private let tokenizer: Tokenizer
  private let corpus: Corpus
  private let backend: any TrainingBackend
  private let output: String
  private let tensorBoard: Bool

  /// A comparison whose files go to `output`; refuses a folder with runs under other conditions.
  public init(
    _ plan: ComparisonPlan, tokenizer: Tokenizer, corpus: Corpus, on backend: any TrainingBackend,
    output: String, tensorBoard: Bool = false
  ) throws {
    try plan.validate()
    self.plan = plan
    self.tokenizer = tokenizer
    self.corpus = corpus
    self.backend = backend
    self.output = output
    self.tensorBoard = tensorBoard
    for run in plan.runs { try run.checkMemory(on: backend) }
    try ComparisonConditions(plan, corpus).establish(in: output)
  }

  /// Does the remaining runs and writes `results.json`, `results.csv` and `timings.json`. Returns
  /// `nil` when `isCancelled` became true first.
  public func run(
    observe: (ComparisonEvent) -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) throws -> ComparisonResults? {
    var results: [RunResult] = []
    var timings: [RunTiming] = []
    for (index, run) in plan.runs.enumerated() {
      let folder = "\(output)/\(run.folderName)"
      if var found = try ExperimentFile.read(
        RunResult.self, from: "\(folder)/\(RunResult.fileName)")
      {
        // Units may have been spelled otherwise then.
        found.unit = run.unit.description
        results.append(found)
        observe(.finished(run, found, before: true))
      } else {
        observe(.began(run, index: index))
        guard
          let result = try train(
            run, folder: folder, observe: { observe(.training($0)) }, isCancelled: isCancelled)
        else { return nil }
        results.append(result)
        observe(.finished(run, result, before: false))
      }
      if let timing = try ExperimentFile.read(
        RunTiming.self, from: "\(folder)/\(RunTiming.fileName)")
      {
        timings.append(timing)
      }
    }
    let all = ComparisonResults(plan, results, timings)
    try all.write(to: output)
    return all
  }

  /// The JSON of `results.json` in `folder`.
  public static func document(in folder: String) throws(FileError) -> String {
    String(decoding: try MappedFile(path: folder + "/results.json").contents, as: UTF8.self)
  }

  /// Trains one run to its end; `nil` if it was asked to stop.
  private func train(
    _ run: ComparisonPlan.Run, folder: String, observe: (TrainingEvent) -> Void,
    isCancelled: () -> Bool
  ) throws -> RunResult? {
    try run.checkMemory(on: backend)
    let model = try LanguageModel(run.model, on: backend)
    model.initialize(seed: run.settings.seed)
    let trainer = try Trainer(
      model, tokenizer: tokenizer, corpus: corpus, configuration: run.settings, output: folder,
      tensorBoard: tensorBoard)
    try trainer.prepareOutput(resume: Folder.kind(of: folder) != nil, observe: observe)
    var summary: TrainingSummary?
    var divergence: String?
    do {
      summary = try trainer.run(observe: observe, isCancelled: isCancelled)
    } catch let error as TrainingError where error.code == .nonFinite {
      divergence = error.message
    }
    if summary?.wasInterrupted == true { return nil }
    let result = try RunResult(run, folder: folder, divergence: divergence)
    try ExperimentFile.write(
      RunTiming(run, summary, model: model), to: "\(folder)/\(RunTiming.fileName)")
    // The last: it says that the run is done.
    try ExperimentFile.write(result, to: "\(folder)/\(RunResult.fileName)")
    for checkpoint in ModelFolder.checkpoints(in: folder) { try Folder.remove(checkpoint) }
    return result
  }
}
