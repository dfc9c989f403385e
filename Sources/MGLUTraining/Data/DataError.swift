/// Problems of training or evaluation data.
public enum DataProblem: Sendable {
  /// A path is missing or cannot be read.
  case unreadable
  /// There is no text, or there are no tokens.
  case empty
  /// The training data is the validation data: nothing remains to train on.
  case onlyValidation
  /// The content of a file does not fit its name: not UTF-8, not JSON, not a shard.
  case malformed
  /// A shard's size does not fit its header.
  case wrongSize
  /// A token id outside the vocabulary.
  case tokenID
  /// Fewer tokens than one window needs.
  case tooShort
  /// A file cannot be written.
  case unwritable
}

/// An error of reading or packing data.
public typealias DataError = Failure<DataProblem>

extension Failure where Code == DataProblem {
  init(reading error: FileError) {
    self.init(.unreadable, error.message, remedy: error.remedy)
  }

  init(writing error: FileError) {
    self.init(.unwritable, error.message, remedy: error.remedy)
  }
}
