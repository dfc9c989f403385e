/// What is wrong with a checkpoint.
public enum CheckpointProblem: Sendable {
  /// A file is missing or cannot be read.
  case unreadable
  /// A file cannot be written.
  case unwritable
  /// A file is not what its name says.
  case malformed
  /// A file ends too early.
  case truncated
  /// Tensors overlap, leave holes or reach beyond the file.
  case badOffsets
  /// An element type this reader does not know, or cannot use here.
  case unsupportedType
  /// A tensor that the model needs is not there.
  case missingTensor
  /// Configuration and tensors, or two settings, disagree.
  case disagreement
  /// A checksum does not match.
  case corrupt
  /// The model cannot be expressed in the format asked for.
  case notExportable
  /// A device cannot hold or compute the model.
  case backend
}

/// An error of reading or writing a checkpoint.
public typealias CheckpointError = Failure<CheckpointProblem>

extension Failure where Code == CheckpointProblem {
  /// A checkpoint error that a file error caused.
  package init(reading error: FileError) {
    self.init(.unreadable, error.message, remedy: error.remedy)
  }

  /// A checkpoint error that a device caused.
  package init(_ error: BackendError) {
    self.init(.backend, error.message, remedy: error.remedy)
  }

  package init(writing error: FileError) {
    self.init(.unwritable, error.message, remedy: error.remedy)
  }
}
