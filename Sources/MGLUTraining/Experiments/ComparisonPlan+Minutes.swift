extension ComparisonPlan {
  /// The steps of each run for which all runs together take about `minutes`, from a few trial steps
  /// of every unit; those of the comparison in `folder` if there is one, so that the same command
  /// goes on with it.
  public func steps(
    forMinutes minutes: Double, tokenizer: Tokenizer, corpus: Corpus,
    on backend: any TrainingBackend, output folder: String
  ) throws -> Int {
    guard minutes > 0, minutes.isFinite else {
      throw ExperimentError(.setting, "minutes \(minutes): expected more than 0")
    }
    if let found = try ComparisonConditions.read(in: folder) { return found.steps }
    var trial = self
    trial.seeds = Array(seeds.prefix(1))
    trial.learningRates = Array(learningRates.prefix(1))
    trial.settings.steps = 10
    trial.settings.warmupSteps = 5
    trial.settings.evaluationTokens = settings.contextLength
    var secondsOfAStep = 0.0
    for run in trial.runs {
      try run.checkMemory(on: backend)
      let model = try LanguageModel(run.model, on: backend)
      model.initialize(seed: run.settings.seed)
      let summary = try Trainer(
        model, tokenizer: tokenizer, corpus: corpus, configuration: run.settings
      ).run()
      secondsOfAStep += Double(run.settings.tokensPerStep) / max(1, summary.tokensPerSecond)
    }
    secondsOfAStep *= Double(seeds.count * learningRates.count)
    return max(1, Int(min(1e9, 60 * minutes / secondsOfAStep)))
  }
}
