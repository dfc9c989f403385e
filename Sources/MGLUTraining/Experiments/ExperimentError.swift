/// Problems of an experiment.
public enum ExperimentProblem: Sendable {
  /// A unit that does not exist, or that has no such part.
  case unit
  /// A list or a number out of its range.
  case setting
  /// The output folder holds runs of another experiment.
  case disagreement
  /// A file of the experiment has unexpected content.
  case malformed
}

/// An error of an experiment.
public typealias ExperimentError = Failure<ExperimentProblem>
