/// The events of a comparison.
public enum ComparisonEvent: Sendable {
  /// A run begins, the `index`-th of all, from 0.
  case began(ComparisonPlan.Run, index: Int)
  /// Something happened in the run.
  case training(TrainingEvent)
  /// The run is done, or was done before.
  case finished(ComparisonPlan.Run, RunResult, before: Bool)
}

/// Trains the runs of a plan one after the other, each in a folder of its own. Several processes do so
/// side by side: each takes up what nobody has done or is at.
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
  private let group: RankGroup?

  /// A comparison whose files go to `output`; refuses a folder with runs under other conditions.
  ///
  /// - Parameters:
  ///   - plan: The units and their runs.
  ///   - tokenizer: Makes tokens of text; stored beside the models.
  ///   - corpus: The tokens to learn from and to validate on.
  ///   - backend: What computes.
  ///   - output: The folder of all runs.
  ///   - tensorBoard: Whether event files lie next to the metrics.
  ///   - group: The processes that share the runs, each of which makes the same comparison; `nil` for one.
  public init(
    _ plan: ComparisonPlan, tokenizer: Tokenizer, corpus: Corpus, on backend: any TrainingBackend,
    output: String, tensorBoard: Bool = false, sharing group: RankGroup? = nil
  ) throws {
    try plan.validate()
    self.plan = plan
    self.tokenizer = tokenizer
    self.corpus = corpus
    self.backend = backend
    self.output = output
    self.tensorBoard = tensorBoard
    self.group = group
    // What is done elsewhere may be put together on a smaller machine.
    for run in plan.runs
    where Folder.kind(of: "\(output)/\(run.folderName)/\(RunResult.fileName)") == nil {
      try run.checkMemory(on: backend)
    }
    // The others find what rank 0 has written.
    if let group, !group.isLeader { _ = try group.any(false) }
    try ComparisonConditions(plan, corpus).establish(in: output)
    if let group, group.isLeader { _ = try group.any(false) }
  }

  /// Does the remaining runs and writes `results.json`, `results.csv` and `timings.json`. Returns
  /// `nil` when `isCancelled` became true first, here or on another rank.
  public func run(
    observe: (ComparisonEvent) -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) throws -> ComparisonResults? {
    if let group {
      let isOver = try !doShare(group, observe: observe, isCancelled: isCancelled)
      if try group.any(isOver) { return nil }
      // What all have done is put together below.
    }
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
        if group == nil { observe(.finished(run, found, before: true)) }
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
    if group?.isLeader ?? true { try all.write(to: output) }
    return all
  }

  /// Does what other ranks have not done and are not at; `false` if it was asked to stop.
  private func doShare(
    _ group: RankGroup, observe: (ComparisonEvent) -> Void, isCancelled: () -> Bool
  ) throws -> Bool {
    for (index, run) in plan.runs.enumerated() {
      let folder = "\(output)/\(run.folderName)"
      func isDone() throws -> Bool {
        try ExperimentFile.read(RunResult.self, from: "\(folder)/\(RunResult.fileName)") != nil
      }
      if try isDone() || Self.isInUse(folder) { continue }
      observe(.began(run, index: index))
      do {
        guard
          let result = try train(
            run, folder: folder, observe: { observe(.training($0)) }, isCancelled: isCancelled)
        else { return false }
        observe(.finished(run, result, before: false))
      } catch {
        // Between the question and the lock another may have begun it, or even ended it.
        if (error as? FileError)?.code == .inUse { continue }
        guard try isDone(), group.failure == nil else { throw error }
      }
    }
    return true
  }

  private static func isInUse(_ folder: String) throws(FileError) -> Bool {
    guard Folder.kind(of: folder) != nil else { return false }
    do throws(FileError) {
      _ = try FolderLock(folder)
      return false
    } catch {
      if error.code == .inUse { return true }
      throw error
    }
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
    // Its lock keeps other processes, which tidy the folder, out until the result is written.
    defer { withExtendedLifetime(trainer) {} }
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
