/// Problems of a tokenizer.
public enum TokenizerProblem: Sendable {
  /// The file is missing or cannot be read.
  case unreadable
  /// The file is not a tokenizer.json, or contradicts itself.
  case malformed
  /// The file is valid, but uses something that is not understood here.
  case unsupported
  /// A vocabulary of that size cannot be trained.
  case vocabularySize
}

/// An error of reading or training a tokenizer.
public typealias TokenizerError = Failure<TokenizerProblem>
