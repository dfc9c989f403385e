/// What kept a backend from being made, or from computing.
public enum BackendProblem: Sendable {
  /// The thread count is not in 1...1024.
  case threadCount
  /// `MGLU_ISA` names an instruction set that this machine or build lacks.
  case instructionSet
  /// The backend lacks the operations of inference, or those of training.
  case operation
  /// The backend has no such weights.
  case weightType
  /// A device's memory is too small.
  case memory
  /// A device, or a library that drives it, reported a failure.
  case device
}

/// An error of a backend.
public typealias BackendError = Failure<BackendProblem>

extension Failure where Code == BackendProblem {
  /// The error of a file that weights are read from.
  init(reading error: FileError) {
    self.init(.device, error.message, remedy: error.remedy)
  }
}
