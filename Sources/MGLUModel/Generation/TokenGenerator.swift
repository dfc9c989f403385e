/// A generated token, and the characters that it completes.
public struct GeneratedToken: Sendable, Equatable {
  /// Its id.
  public let id: Int32
  /// Whole characters only: bytes of an unfinished one come with the token that finishes it.
  public let text: String
}

/// Writes on from a prompt, token by token.
///
/// When the context is full, the last half of it is read again and writing goes on from there: one
/// long step now and then, and no memory of what lies further back.
public final class TokenGenerator {
  /// Tokens of the prompt, as they were read.
  public let promptTokenCount: Int
  /// Why the sequence has ended: an EOS token, or as many tokens as were asked for; `nil` while it goes on.
  public private(set) var finishReason: FinishReason?

  private let session: InferenceSession
  private let sampling: SamplingParameters
  private let maxTokens: Int
  private var detokenizer: StreamingDetokenizer
  /// The tokens that the session's sequence has, or could begin anew with.
  private var history: [Int32]
  private var generated = 0

  /// Prepares to write at most `maximumTokens` tokens after `prompt`.
  ///
  /// The sequence begins with the tokens that the tokenizer's template puts there. Without such
  /// tokens, an empty prompt stands for an EOS token, if the tokenizer has one.
  public convenience init(
    _ model: InferenceModel, tokenizer: Tokenizer, prompt: String, maximumTokens: Int,
    sampling: SamplingParameters = .init()
  ) throws(GenerationError) {
    var tokens = tokenizer.encode(prompt, addsSpecialTokens: true)
    if tokens.isEmpty, let start = tokenizer.eosTokenID { tokens = [start] }
    try self.init(
      model, tokenizer: tokenizer, tokens: tokens, maximumTokens: maximumTokens, sampling: sampling)
  }

  /// Prepares to write at most `maximumTokens` tokens after `tokens`, and nothing before them.
  ///
  /// - Parameters:
  ///   - model: The model.
  ///   - tokenizer: Turns tokens into text.
  ///   - tokens: The prompt, such as a chat template makes it of messages.
  ///   - maximumTokens: Most tokens to generate.
  ///   - sampling: How tokens are sampled. Penalties count what the context holds.
  public init(
    _ model: InferenceModel, tokenizer: Tokenizer, tokens: [Int32], maximumTokens: Int,
    sampling: SamplingParameters = .init()
  ) throws(GenerationError) {
    let context = model.configuration.contextLength
    guard tokens.count <= context else {
      throw GenerationError(
        .contextLength, "the prompt has \(tokens.count) tokens: the model reads at most \(context)",
        remedy: "shorten it")
    }
    guard !tokens.isEmpty else {
      throw GenerationError(.emptyPrompt, "the prompt is empty", remedy: "give a prompt")
    }
    guard maximumTokens >= 0 else {
      throw GenerationError(.sampling, "\(maximumTokens) tokens: expected 0 or more")
    }
    // No more room than the sequence can take.
    let (length, overflow) = tokens.count.addingReportingOverflow(maximumTokens)
    session = InferenceSession(model, contextLength: overflow ? context : min(context, length))
    detokenizer = StreamingDetokenizer(
      tokenizer, startsText: tokens.allSatisfy(tokenizer.isSpecial))
    promptTokenCount = tokens.count
    maxTokens = maximumTokens
    history = tokens
    self.sampling = sampling
    try begin(tokens)
  }

  /// The next token, or `nil` at the end of the sequence or after `maximumTokens` tokens.
  public func next() throws(GenerationError) -> GeneratedToken? {
    guard generated < maxTokens else {
      finishReason = finishReason ?? .length
      return nil
    }
    guard finishReason == nil else { return nil }
    var output: SequenceOutput?
    while output == nil { output = try session.next().first }
    guard let output, let id = output.token else { throw output?.failure ?? .notFinite }
    generated += 1
    if output.finishReason == .stop {
      finishReason = .stop
      let rest = detokenizer.finish()
      return rest.isEmpty ? nil : GeneratedToken(id: id, text: rest)
    }
    if history.count >= 2 * session.contextLength {
      history.removeFirst(session.contextLength)
    }
    history.append(id)
    let characters = detokenizer.append(id)
    if generated == maxTokens {
      finishReason = .length
      return GeneratedToken(id: id, text: characters + detokenizer.finish())
    }
    // The context is full.
    if output.finishReason == .length {
      try begin(Array(history.suffix(max(1, session.contextLength / 2))))
    }
    return GeneratedToken(id: id, text: characters)
  }

  /// Begins a sequence with `tokens`, whose random numbers go on where they were.
  private func begin(_ tokens: [Int32]) throws(GenerationError) {
    let request = GenerationRequest(
      prompt: tokens, maxTokens: maxTokens - generated, sampling: sampling)
    _ = try session.insert(request, afterDraws: generated)
  }
}

/// Generation as an asynchronous sequence of tokens: `next()` computes the next one, and
/// canceling the task ends the sequence.
///
///     for try await token in TokenStream(generator) { print(token.text, terminator: "") }
public struct TokenStream: AsyncSequence {
  /// A token and the characters that it completes.
  public typealias Element = GeneratedToken

  private let generator: TokenGenerator

  /// The tokens of `generator`.
  public init(_ generator: TokenGenerator) { self.generator = generator }

  /// Computes tokens on the task that asks for them.
  public struct AsyncIterator: AsyncIteratorProtocol {
    let generator: TokenGenerator

    /// The next token.
    public mutating func next() async throws -> GeneratedToken? {
      if Task.isCancelled { return nil }
      return try generator.next()
    }
  }

  /// Starts, or goes on, generating.
  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(generator: generator) }
}
