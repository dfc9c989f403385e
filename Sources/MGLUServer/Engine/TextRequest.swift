/// One text that a client wants: what it continues and how.
package struct TextRequest: Sendable {
  /// The tokens to continue, at least one.
  package var prompt: [Int32]
  /// Most tokens to write; 0 only reads the prompt.
  package var maximumTokens: Int
  /// How tokens are chosen.
  package var sampling: SamplingParameters
  /// Texts that end the writing, none of them empty; they are not written themselves.
  package var stops: [String]
  /// How many of the most probable tokens are wanted beside each token's own probability.
  package var topScores: Int?
  /// Whether the prompt's tokens are wanted with their probabilities.
  package var scoresPrompt: Bool

  /// Whether reading the prompt of `other` brings all that reading this one's does.
  func readsLike(_ other: TextRequest) -> Bool {
    topScores == other.topScores && scoresPrompt == other.scoresPrompt
      && (maximumTokens > 0) == (other.maximumTokens > 0) && prompt == other.prompt
  }

  /// A text that continues `prompt`.
  package init(
    prompt: [Int32], maximumTokens: Int, sampling: SamplingParameters = .init(),
    stops: [String] = [], topScores: Int? = nil, scoresPrompt: Bool = false
  ) {
    self.prompt = prompt
    self.maximumTokens = maximumTokens
    self.sampling = sampling
    self.stops = stops
    self.topScores = topScores
    self.scoresPrompt = scoresPrompt
  }
}

/// A token and how probable the model found it.
package struct TokenLogprob: Sendable, Equatable {
  /// A token with its log-probability.
  package struct Alternative: Sendable, Equatable {
    package let id: Int32
    package let logprob: Float
  }

  package let id: Int32
  /// `nil` for a prompt's first token, which nothing comes before.
  package let logprob: Float?
  /// The most probable tokens, most probable first, and the token itself where it is not of them.
  package let alternatives: [Alternative]
}

/// Why a text ended, in the words of the protocol.
package enum FinishReason: String, Sendable, Encodable {
  /// The model ended it, or a stop text did.
  case stop
  /// All tokens that were asked for are there, or the context is full.
  case length
}

/// What happens to a text.
package enum TextEvent: Sendable {
  /// The prompt was read; a score for each of its tokens, where they are wanted.
  case prompt([TokenLogprob])
  /// A token was written: the text that it completes, which may be empty, and its score.
  case token(id: Int32, text: String, score: TokenLogprob?)
  /// Nothing follows but this text.
  case finished(text: String, FinishReason)
}

/// What a client's request comes to, one after the other.
package enum RequestEvent: Sendable {
  /// The text of an index went on.
  case text(Int, TextEvent)
  /// The request cannot be finished; nothing follows.
  case failed(APIError)
}
