/// Problems of generation.
public enum GenerationProblem: Sendable {
  /// A token id outside the vocabulary.
  case tokenID
  /// More tokens than the session has room for.
  case contextLength
  /// More sequences than the session has room for, or one that it does not hold.
  case sequences
  /// A sampling setting out of its range.
  case sampling
  /// The prompt has no tokens.
  case emptyPrompt
  /// No logit is a number.
  case notFinite
  /// A device failed.
  case backend
}

/// An error of generation.
public typealias GenerationError = Failure<GenerationProblem>

extension Failure where Code == GenerationProblem {
  /// The error of logits none of which is a number.
  package static var notFinite: GenerationError {
    GenerationError(
      .notFinite, "the model expects nothing: none of its logits is a number",
      remedy: "its weights are damaged, or its training diverged: take an earlier checkpoint")
  }
}
