import MGLUReports
import MGLUTraining

/// Shows a run on standard error: one line that is rewritten on a terminal, plain lines elsewhere.
struct TrainingProgress {
  private let steps: Int
  private var line: ProgressLine
  private let tokensPerStep: Int
  /// Of several ranks one alone shows what all of them do.
  private let isShown: Bool

  init(_ configuration: TrainingConfiguration, isShown: Bool = true) {
    self.isShown = isShown
    steps = configuration.steps
    tokensPerStep = configuration.tokensPerStep
    line = ProgressLine(total: steps)
  }

  /// Shows `event`.
  mutating func show(_ event: TrainingEvent) {
    guard isShown else { return }
    switch event {
    case .notice(let message): note(message)
    case .resumed(let step): note("resumed at step \(NumberFormat.grouped(step))")
    case .saved(let step, let path): note("step \(step): saved \(path)")
    case .validation(let step, let result): note("step \(step): validation \(result.shortSentence)")
    case .step(let report):
      line.update(
        ProgressLine.State(
          step: report.step, loss: report.loss, learningRate: report.learningRate,
          tokensPerSecond: report.tokensPerSecond,
          secondsLeft: Double((steps - report.step) * tokensPerStep) / report.tokensPerSecond))
    }
  }

  /// Writes a line of its own.
  mutating func note(_ message: String) { if isShown { line.note(message) } }

  /// Ends the line.
  mutating func finish() { if isShown { line.finish() } }
}
