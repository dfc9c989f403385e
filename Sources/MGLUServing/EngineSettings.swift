/// The limits of an engine.
public struct EngineSettings: Sendable {
  /// Maximum number of sequences in a step; at least 1.
  public var maxSequences: Int
  /// Maximum number of requests that wait; the engine refuses more.
  public var maxQueued: Int
  /// Maximum number of tokens of a sequence, its prompt included. `nil`, and anything longer, means
  /// the model's context length.
  public var contextLength: Int?
  /// How long a request may take, from ``Engine/submit(_:stopSequences:)`` to its last token.
  public var timeLimit: Duration

  /// Creates settings.
  public init(
    maxSequences: Int = 8, maxQueued: Int = 128, contextLength: Int? = nil,
    timeLimit: Duration = .seconds(600)
  ) {
    self.maxSequences = maxSequences
    self.maxQueued = maxQueued
    self.contextLength = contextLength
    self.timeLimit = timeLimit
  }
}
