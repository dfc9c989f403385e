/// A sequence to generate: its prompt, its length, and how its tokens are sampled.
public struct GenerationRequest: Sendable, Codable {
  /// The tokens to continue, at least one.
  public var prompt: [Int32]
  /// Most tokens to generate; 0 only reads the prompt.
  public var maxTokens: Int
  /// How tokens are sampled.
  public var sampling: SamplingParameters
  /// How many of the most probable tokens to return beside each token's own log-probability; `nil`
  /// for no log-probabilities.
  public var topLogprobs: Int?
  /// Whether the prompt's tokens are returned with their log-probabilities too.
  public var promptLogprobs: Bool
  /// A token that may follow the prompt: where ``promptLogprobs`` are returned, its own comes behind them.
  package var nextToken: Int32?
  /// Whether generation goes on after an EOS token.
  public var ignoresEOS: Bool
  /// Tokens that end the sequence beside the model's EOS tokens.
  public var stopTokenIDs: [Int32] = []
  /// No token that ends the sequence is sampled before there are as many tokens.
  public var minTokens = 0

  /// A request to continue `prompt`.
  public init(
    prompt: [Int32], maxTokens: Int, sampling: SamplingParameters = .init(),
    topLogprobs: Int? = nil, promptLogprobs: Bool = false, ignoresEOS: Bool = false
  ) {
    self.prompt = prompt
    self.maxTokens = maxTokens
    self.sampling = sampling
    self.topLogprobs = topLogprobs
    self.promptLogprobs = promptLogprobs
    self.ignoresEOS = ignoresEOS
  }

  /// Whether a sequence ends with `token`, where the model has `eosTokenIDs`.
  func isEnd(_ token: Int32, eosTokenIDs: [Int32]) -> Bool {
    !ignoresEOS && eosTokenIDs.contains(token) || stopTokenIDs.contains(token)
  }

  /// The token that follows the prompt's at `index`, where there is one to be scored.
  func token(after index: Int) -> Int32? {
    index + 1 < prompt.count ? prompt[index + 1] : nextToken
  }

  /// Whether the prefill of `other` computes all that this one's does.
  func sharesPrefill(with other: GenerationRequest) -> Bool {
    topLogprobs == other.topLogprobs && promptLogprobs == other.promptLogprobs
      && nextToken == other.nextToken && (maxTokens > 0) == (other.maxTokens > 0)
      && prompt == other.prompt
  }
}

/// Why a sequence ended.
public enum FinishReason: String, Sendable {
  /// The model generated an EOS token or a token that the request ends at, or a caller found a stop
  /// sequence.
  case stop
  /// The sequence has its maximum number of tokens, or fills the context.
  case length
}

/// The output of a step for one sequence.
public struct SequenceOutput: Sendable {
  /// The sequence.
  public let id: SequenceID
  /// With the step that completes the prefill: the log-probability of each token of the prompt,
  /// where they were asked for, else empty. `nil` in every other step.
  public let promptLogprobs: [TokenLogprob]?
  /// How many tokens of the prompt another sequence's prefill had read.
  public let sharedPromptTokens: Int
  /// The token that was generated; an EOS token too.
  public let token: Int32?
  /// The token's log-probability, where it was asked for.
  public let logprob: TokenLogprob?
  /// Set in the sequence's last output; the session has removed the sequence then.
  public let finishReason: FinishReason?
  /// Set in place of a token where none can be sampled (``GenerationProblem/notFinite``); the session
  /// has removed the sequence then.
  public let failure: GenerationError?

  /// Whether this is the last output of the sequence.
  public var isLast: Bool { finishReason != nil || failure != nil }
}

/// A sequence of an ``InferenceSession``.
public struct SequenceID: Sendable, Hashable, Codable {
  let number: UInt64
}
