/// How large a response may become. A short request can ask for a long one: what it asks for is
/// counted before anything is computed.
enum ResponseLimits {
  /// Maximum number of log-probabilities of a response, and of spellings of tokens. Each takes about
  /// 80 bytes of a document, and 900 bytes of memory while it is written.
  static let values = 1 << 20
  /// Maximum number of bytes of the prompts that the choices of a response repeat.
  static let echoedBytes = 64 << 20

  /// Throws where the sequences have more log-probabilities than a response may.
  ///
  /// - Parameters:
  ///   - sequences: All sequences of a request.
  ///   - contextLength: Where each sequence ends.
  ///   - field: The field that asks for the most probable tokens.
  static func checkLogprobs(
    of sequences: [GenerationRequest], contextLength: Int, field: String
  ) throws(APIError) {
    guard let top = sequences.first?.topLogprobs else { return }
    let tokens = sequences.reduce(0) { sum, sequence in
      let generated = min(
        sequence.maxTokens, max(0, contextLength + 1 - sequence.prompt.count))
      return sum + generated + (sequence.promptLogprobs ? sequence.prompt.count : 0)
    }
    let (count, overflows) = tokens.multipliedReportingOverflow(by: top + 1)
    guard overflows || count > values else { return }
    let echo = sequences[0].promptLogprobs ? ", or leave out echo" : ""
    throw .invalid(
      "\(sequences.count) choices of up to \(tokens) tokens in all, with \(top + 1) "
        + "log-probabilities for each: expected at most \(values) log-probabilities; lower n, "
        + "\(field) or max_tokens\(echo)",
      param: field, code: "invalid_value")
  }

  /// Throws where a response would repeat prompts of more than so many bytes in all.
  static func checkEcho(_ byteCount: Int) throws(APIError) {
    guard byteCount > echoedBytes else { return }
    throw .invalid(
      "echo asks for \(byteCount) bytes of prompts: expected at most \(echoedBytes); lower n, or "
        + "leave out echo",
      param: "echo", code: "invalid_value")
  }

  /// Throws where a response would spell too many tokens, each in so many forms.
  static func checkPieces(_ tokens: Int, forms: Int) throws(APIError) {
    guard tokens * forms > values else { return }
    throw .invalid(
      "\(tokens) tokens, spelled in \(forms) forms: expected at most \(values) spellings; send "
        + "the text in parts, or leave out with_pieces and return_token_strs",
      param: "prompt", code: "invalid_value")
  }
}
