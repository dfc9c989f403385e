/// The events of a run.
public enum TrainingEvent: Sendable {
  /// The run goes on from a checkpoint.
  case resumed(step: Int)
  /// Something the user should know, such as a checkpoint that could not be used.
  case notice(String)
  /// A step is done.
  case step(StepReport)
  /// The validation data was predicted.
  case validation(step: Int, EvaluationResult)
  /// A checkpoint was written.
  case saved(step: Int, path: String)
}

/// One step of training.
public struct StepReport: Sendable, Equatable {
  /// Its number, from 1.
  public let step: Int
  /// Mean loss of its tokens, in nats.
  public let loss: Double
  /// Its learning rate.
  public let learningRate: Double
  /// The global norm of its gradient before clipping.
  public let gradientNorm: Double
  /// Training tokens per second, over this call's steps so far.
  public let tokensPerSecond: Double
}

/// The outcome of a run.
public struct TrainingSummary: Sendable, Equatable {
  /// Steps done, those before a resume included.
  public let steps: Int
  /// Mean loss of the last 50 steps of this call in nats; `nil` if it did none.
  public let trainingLoss: Double?
  /// The last validation; `nil` if the run was interrupted before one.
  public let validation: EvaluationResult?
  /// Training tokens per second, validation and saving not counted.
  public let tokensPerSecond: Double
  /// Seconds of this call.
  public let seconds: Double
  /// Whether the run was asked to stop before its end.
  public let wasInterrupted: Bool
}
