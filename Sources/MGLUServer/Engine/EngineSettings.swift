/// The bounds of an engine.
public struct EngineSettings: Sendable {
  /// Most texts that are read or written at once.
  public var mostTexts: Int
  /// Most requests that wait; more are refused.
  public var mostWaiting: Int
  /// Most tokens of a text, at most and by default the model's context.
  public var context: Int?
  /// How long a request may take, its waiting included.
  public var timeLimit: Duration

  /// Creates settings.
  public init(
    mostTexts: Int = 8, mostWaiting: Int = 128, context: Int? = nil,
    timeLimit: Duration = .seconds(600)
  ) {
    self.mostTexts = mostTexts
    self.mostWaiting = mostWaiting
    self.context = context
    self.timeLimit = timeLimit
  }
}
