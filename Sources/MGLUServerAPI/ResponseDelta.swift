/// A part of one choice of a response: the output of a step, or the whole choice.
struct ResponseDelta: Sendable {
  /// The index of the choice.
  let index: Int
  var text = ""
  /// The log-probabilities of the prompt's tokens, if they are echoed, and of generated ones.
  var logprobs: [TokenLogprob] = []
  var finishReason: FinishReason?

  var isEmpty: Bool { text.isEmpty && logprobs.isEmpty && finishReason == nil }

  /// Adds the next part.
  mutating func append(_ delta: ResponseDelta) {
    text += delta.text
    logprobs += delta.logprobs
    finishReason = delta.finishReason
  }
}

extension FinishReason: Encodable {}
