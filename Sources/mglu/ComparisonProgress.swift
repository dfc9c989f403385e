import MGLUReports
import MGLUTraining

/// One line over all runs of a comparison, on standard error.
struct ComparisonProgress {
  private let plan: ComparisonPlan
  private let runs: Int
  private var line: ProgressLine
  /// Steps of the runs before this one.
  private var before = 0
  /// When the first step of this process began, and how many it has done.
  private let start = ContinuousClock.now
  private var computed = 0
  /// The last step of this run.
  private var lastStep = 0
  private var title = ""

  init(_ plan: ComparisonPlan) {
    self.plan = plan
    runs = plan.runs.count
    line = ProgressLine(total: runs * plan.settings.steps)
  }

  /// Shows `event`.
  mutating func show(_ event: ComparisonEvent) {
    let steps = plan.settings.steps
    switch event {
    case .began(let run, let index):
      before = index * steps
      lastStep = 0
      title = "\(run.unit), seed \(run.settings.seed)"
      if plan.learningRates.count > 1 {
        title += ", rate \(NumberFormat.scientific(run.settings.learningRate))"
      }
      title += " (\(index + 1) of \(runs))"
    case .training(.step(let report)):
      computed += report.step - lastStep
      lastStep = report.step
      // Validations and checkpoints take time, too.
      let secondsPerStep = (ContinuousClock.now - start) / .seconds(1) / Double(max(1, computed))
      line.update(
        ProgressLine.State(
          step: before + report.step, loss: report.loss, learningRate: report.learningRate,
          tokensPerSecond: report.tokensPerSecond,
          secondsLeft: secondsPerStep * Double(runs * steps - before - report.step)))
    case .training(.resumed(let step)):
      lastStep = step
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
