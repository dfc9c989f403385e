/// The state of a training run in one line: rewritten in place on a terminal, a plain line now
/// and then elsewhere.
public struct ProgressLine {
  /// The content of the line.
  public struct State: Sendable, Equatable {
    /// Steps done.
    public var step: Int
    /// The last loss, in nats.
    public var loss: Double
    /// The learning rate.
    public var learningRate: Double
    /// Training tokens per second.
    public var tokensPerSecond: Double
    /// Seconds that the remaining steps will take.
    public var secondsLeft: Double

    /// A state.
    public init(
      step: Int, loss: Double, learningRate: Double, tokensPerSecond: Double, secondsLeft: Double
    ) {
      self.step = step
      self.loss = loss
      self.learningRate = learningRate
      self.tokensPerSecond = tokensPerSecond
      self.secondsLeft = secondsLeft
    }
  }

  private let total: Int
  private let terminal: Terminal
  private let clock = ContinuousClock()
  private var lastDrawn: ContinuousClock.Instant?
  private var isDrawn = false

  /// Elsewhere than on a terminal, a line this often.
  private static let plainInterval = Duration.seconds(10)
  private static let redrawInterval = Duration.milliseconds(100)

  /// A line for a run of `total` steps.
  public init(total: Int, terminal: Terminal = .error) {
    self.total = total
    self.terminal = terminal
  }

  /// Shows `state`, unless it is too soon after the last one; the last step is always shown.
  public mutating func update(_ state: State) {
    let total = total
    update(done: state.step) { Self.line(state, total: total, width: $0) }
  }

  /// Shows `text` beside a bar of what is done, as ``update(_:)`` does.
  public mutating func update(done: Int, _ text: String) {
    let total = total
    update(done: done) { Self.line(text, done: done, total: total, width: $0) }
  }

  private mutating func update(done: Int, line: (_ width: Int?) -> String) {
    let now = clock.now
    let interval = terminal.isInteractive ? Self.redrawInterval : Self.plainInterval
    if let lastDrawn, now - lastDrawn < interval, done < total { return }
    // The first plain line waits too: a short run needs none.
    let isFirst = lastDrawn == nil
    lastDrawn = now
    if terminal.isInteractive {
      terminal.write("\r\u{1b}[2K" + line(terminal.width - 1))
      isDrawn = true
    } else if !isFirst || done == total {
      terminal.write(line(nil) + "\n")
    }
  }

  /// Writes a line of its own above the progress.
  public mutating func note(_ message: String) {
    if isDrawn { terminal.write("\r\u{1b}[2K") }
    isDrawn = false
    terminal.write(message + "\n")
  }

  /// Leaves the line as it is and goes to the next.
  public mutating func finish() {
    if isDrawn { terminal.write("\n") }
    isDrawn = false
  }

  /// The line: with a bar in what is left of `width` columns, or without one. Where the width is
  /// too small for everything, the end is cut.
  static func line(_ state: State, total: Int, width: Int?) -> String {
    let numbers =
      "step \(state.step)/\(total)  loss \(NumberFormat.fixed(state.loss, 4))"
      + "  lr \(NumberFormat.scientific(state.learningRate))"
      + "  \(NumberFormat.grouped(state.tokensPerSecond)) tok/s"
      + "  \(NumberFormat.clock(seconds: state.secondsLeft)) left"
    return line(numbers, done: state.step, total: total, width: width)
  }

  private static func line(_ text: String, done: Int, total: Int, width: Int?) -> String {
    guard let width else { return text }
    let room = width - text.count - 2
    guard room >= 5 else { return String(text.prefix(max(0, width))) }
    let share = Double(done) / Double(max(1, total))
    return ShareBar.bar(share, width: min(room, 20)) + "  " + text
  }
}
