/// What cannot be decoded.
public enum GenerationProblem: Sendable {
  /// A token id outside the vocabulary.
  case tokenID
  /// More tokens than the session has room for.
  case contextLength
  /// A sampling setting out of its range.
  case sampling
  /// There is nothing to continue.
  case emptyPrompt
  /// A device failed.
  case backend
}

/// An error of generation.
public typealias GenerationError = Failure<GenerationProblem>
