/// The limits of an engine.
public struct EngineSettings: Sendable {
  /// Maximum number of sequences in a step, 1 to ``mostSequences``; `nil` means 256 on a GPU and 8
  /// on a CPU.
  public var maxSequences: Int?
  /// Maximum number of requests that wait, at least 1. Beyond it the client with most of them loses its last one, or
  /// the new request is refused.
  public var maxQueued: Int
  /// Maximum number of tokens of a sequence, its prompt included. `nil`, and anything longer, means
  /// the model's context length.
  public var contextLength: Int?
  /// Bytes of the KV cache. `nil` means, on a CPU, as many as all sequences need at their longest, and on a
  /// GPU up to twice as many, of what ``memoryUtilization`` leaves.
  public var cacheBytes: Int?
  /// The share of a GPU's memory that may be used in all, weights included: more than 0 and at most 1.
  public var memoryUtilization: Double
  /// How long a request may take, from ``Engine/submit(_:stopSequences:client:)`` to its last token.
  public var timeLimit: Duration

  /// Creates settings.
  public init(
    maxSequences: Int? = nil, maxQueued: Int = 128, contextLength: Int? = nil,
    cacheBytes: Int? = nil, memoryUtilization: Double = 0.9, timeLimit: Duration = .seconds(600)
  ) {
    self.maxSequences = maxSequences
    self.maxQueued = maxQueued
    self.contextLength = contextLength
    (self.cacheBytes, self.memoryUtilization) = (cacheBytes, memoryUtilization)
    self.timeLimit = timeLimit
  }

  /// The largest ``maxSequences``: a session's buffers have a row of logits for each.
  public static let mostSequences = InferenceSession.mostSequences

  /// Throws the first setting that is out of its range (``ServingProblem/settings``).
  public func validate() throws(ServingError) {
    for (name, value, most) in [
      ("maxSequences", maxSequences ?? 1, Self.mostSequences), ("maxQueued", maxQueued, .max),
      ("contextLength", contextLength ?? 1, .max),
    ] where !(1...most).contains(value) {
      throw ServingError(
        .settings,
        "\(name) \(value): expected at least 1" + (most < .max ? " and at most \(most)" : ""))
    }
    // Not a number is in no range.
    guard memoryUtilization > 0, memoryUtilization <= 1 else {
      throw ServingError(
        .settings,
        "memoryUtilization \(memoryUtilization): expected more than 0 and at most 1")
    }
  }
}
