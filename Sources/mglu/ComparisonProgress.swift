import MGLUReports
import MGLUTraining

/// One line over all runs of a comparison, on standard error.
struct ComparisonProgress {
  private let plan: ComparisonPlan
  private let runs: Int
  private let isLine: Bool
  private let share: Int
  private var line: ProgressLine
  /// Steps of the runs before this one.
  private var before = 0
  private let start = ContinuousClock.now
  private var pace = Pace()
  private var title = ""

  /// Of a plan, whose runs `processes` share: one of them has the line, and all say what they have done.
  init(_ plan: ComparisonPlan, processes: Int = 1, isLine: Bool = true) {
    self.plan = plan
    self.isLine = isLine
    share = min(processes, max(1, plan.runs.count))
    runs = plan.runs.count
    line = ProgressLine(total: runs * plan.settings.steps)
  }

  /// Shows `event`.
  mutating func show(_ event: ComparisonEvent) {
    let steps = plan.settings.steps
    switch event {
    case .began(let run, let index):
      before = index * steps
      pace.begin(at: 0)
      title = "\(run.unit), seed \(run.settings.seed)"
      if plan.learningRates.count > 1 {
        title += ", rate \(NumberFormat.scientific(run.settings.learningRate))"
      }
      title += " (\(index + 1) of \(runs))"
    case .training(.step(let report)):
      guard isLine else { break }
      pace.reach(report.step)
      line.update(
        ProgressLine.State(
          step: before + report.step, loss: report.loss, learningRate: report.learningRate,
          tokensPerSecond: report.tokensPerSecond,
          secondsLeft: pace.seconds(
            for: (runs * steps - before - report.step) / share,
            after: (ContinuousClock.now - start) / .seconds(1))))
    case .training(.resumed(let step)):
      pace.begin(at: step)
      note("\(title): goes on at step \(NumberFormat.grouped(step))")
    case .training(.notice(let message)): note("\(title): \(message)")
    case .training: break
    case .finished(_, _, before: true): break
    case .finished(_, let result, before: false):
      note(
        "\(title): "
          + (result.validationLoss.map { "validation loss \(NumberFormat.fixed($0, 4))" }
            ?? "diverged: \(result.divergence ?? "no validation loss")"))
    }
  }

  /// Writes a line of its own.
  mutating func note(_ message: String) { line.note(message) }

  /// Ends the line.
  mutating func finish() { line.finish() }
}
