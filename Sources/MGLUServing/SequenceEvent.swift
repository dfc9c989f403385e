/// The events of a sequence, in this order: one `prompt`, any number of `token`, one `finished`.
public enum SequenceEvent: Sendable {
  /// The model has read the prompt. There is an element for each token of it if
  /// `GenerationRequest.promptLogprobs` asks for them, and none otherwise. `cachedTokens` of its tokens
  /// had been read before, for another sequence.
  case prompt([TokenLogprob], cachedTokens: Int)
  /// The model has generated a token. `text` has the characters that the token completes, and may be
  /// empty; `logprob` is there if `GenerationRequest.topLogprobs` asks for it.
  case token(id: Int32, text: String, logprob: TokenLogprob?)
  /// The sequence has ended. `text` has the characters that were held back until now.
  case finished(text: String, FinishReason)
}
