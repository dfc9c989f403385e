/// The results of all runs, and their summary for each unit and learning rate.
public struct ComparisonResults: Sendable {
  /// The runs of one unit at one learning rate, one for each seed.
  public struct Summary: Sendable, Equatable, Codable {
    /// The unit's name.
    public let unit: String
    /// The learning rate.
    public let learningRate: Double
    /// d.
    public let intermediateSize: Int
    /// Weights of the model.
    public let parameters: Int
    /// Mask bits of the model.
    public let maskBits: Int
    /// MiB of FP16 weights and 1-bit masks.
    public let mebibytes: Double
    /// Seeds whose runs reached a validation loss.
    public let seeds: Int
    /// Mean validation loss over seeds.
    public let validationLoss: Double?
    /// Its standard deviation.
    public let validationLossDeviation: Double?
    /// e to the mean loss, where a Double can hold it.
    public let perplexity: Double?
    /// Mean difference to the first unit's runs of the same seeds and rate.
    public let difference: Double?
    /// The standard deviation of these differences.
    public let differenceDeviation: Double?
    /// Runs that spiked.
    public let spikedRuns: Int
    /// Runs that ended in a loss that is not finite.
    public let divergedRuns: Int
  }

  /// Steps of each run.
  public let steps: Int
  /// Training tokens of each run.
  public let tokens: Int
  /// A row for each unit and learning rate, in the order of the plan.
  public let summaries: [Summary]
  /// Every run.
  public let runs: [RunResult]
  /// How fast the runs were.
  public let timings: [RunTiming]

  init(_ plan: ComparisonPlan, _ runs: [RunResult], _ timings: [RunTiming]) {
    steps = plan.settings.steps
    tokens = plan.settings.steps * plan.settings.tokensPerStep
    self.runs = runs
    self.timings = timings
    summaries = plan.learningRates.flatMap { rate in
      let ofRate = runs.filter { $0.learningRate == rate }
      let first = ofRate.filter { $0.unit == plan.units.first?.description }
      return plan.units.compactMap { unit in
        Summary(ofRate.filter { $0.unit == unit.description }, against: first)
      }
    }
  }

  /// Whether runs were trained by different numbers of processes.
  package var mixesProcesses: Bool { Set(timings.map { $0.processes ?? 1 }).count > 1 }

  /// Medians over seeds of training and decode tokens per second; those of training are of one process
  /// where runs had different numbers of them.
  public func speed(of summary: Summary) -> (training: Double?, decode: Double?) {
    let own = timings(of: summary)
    let mixes = mixesProcesses
    func median(_ values: [Double]) -> Double? {
      values.isEmpty ? nil : values.sorted()[values.count / 2]
    }
    return (
      median(
        own.compactMap { timing in
          timing.trainingTokensPerSecond.map { $0 / Double(mixes ? timing.processes ?? 1 : 1) }
        }),
      median(own.compactMap(\.decodeTokensPerSecond))
    )
  }

  /// Seconds that the steps of each run of a summary took, of all processes added up.
  package func trainingSeconds(of summary: Summary) -> [Double] {
    timings(of: summary).compactMap { timing in
      timing.trainingTokensPerSecond.map {
        Double(tokens) / $0 * Double(timing.processes ?? 1)
      }
    }
  }

  /// How fast the runs of a summary were.
  package func timings(of summary: Summary) -> [RunTiming] {
    timings.filter { $0.unit == summary.unit && $0.learningRate == summary.learningRate }
  }

  /// The summary of each unit at the learning rate of its lowest loss; without units that have none.
  package var best: [Summary] {
    var best: [String: Summary] = [:]
    for row in summaries {
      guard let loss = row.validationLoss else { continue }
      if let other = best[row.unit]?.validationLoss, other <= loss { continue }
      best[row.unit] = row
    }
    return summaries.filter { best[$0.unit] == $0 }
  }

  /// Mean and standard deviation of the losses of `row` minus those of `other`, paired by seed; `nil`
  /// where no seed has both.
  package func difference(
    of row: Summary, to other: Summary
  ) -> (mean: Double, deviation: Double?, seeds: Int)? {
    func losses(_ summary: Summary) -> [UInt64: Double] {
      let own = runs.filter {
        $0.unit == summary.unit && $0.learningRate == summary.learningRate
      }
      return Dictionary(own.compactMap { run in run.validationLoss.map { (run.seed, $0) } }) { $1 }
    }
    let others = losses(other)
    let differences = losses(row).sorted { $0.key < $1.key }
      .compactMap { seed, loss in others[seed].map { loss - $0 } }
    return differences.isEmpty
      ? nil : (differences.mean, differences.standardDeviation, differences.count)
  }
}

extension ComparisonResults.Summary {
  fileprivate init?(_ runs: [RunResult], against first: [RunResult]) {
    guard let any = runs.first else { return nil }
    let losses = runs.compactMap(\.validationLoss)
    let differences = runs.compactMap { run in
      first.first { $0.seed == run.seed }?.validationLoss.flatMap { other in
        run.validationLoss.map { $0 - other }
      }
    }
    unit = any.unit
    learningRate = any.learningRate
    intermediateSize = any.intermediateSize
    parameters = any.parameters
    maskBits = any.maskBits
    mebibytes = any.mebibytes
    seeds = losses.count
    validationLoss = losses.isEmpty ? nil : losses.mean
    validationLossDeviation = losses.standardDeviation
    // A loss above 709 has none that JSON could tell.
    perplexity = validationLoss.map(EvaluationResult.perplexity).flatMap { $0.isFinite ? $0 : nil }
    let isFirst = any.unit == first.first?.unit
    difference = isFirst || differences.isEmpty ? nil : differences.mean
    differenceDeviation = isFirst ? nil : differences.standardDeviation
    spikedRuns = runs.count { !$0.spikes.isEmpty }
    divergedRuns = runs.count { $0.divergence != nil }
  }
}
