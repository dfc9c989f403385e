/// A token that a model wrote, and the text that it completes.
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

  private let session: DecodingSession
  private var sampler: Sampler
  private var choice: SamplingStep
  private var text: StreamingDetokenizer
  private var history: [Int32]
  private var unread: [Int32]
  private var remaining: Int

  /// Prepares to write at most `maximumTokens` tokens after `prompt`.
  ///
  /// The text begins with the tokens that the tokenizer's template puts there. Where it has none, an
  /// empty prompt stands for the start of a text: the end-of-text token, where there is one.
  public init(
    _ model: InferenceModel, tokenizer: Tokenizer, prompt: String, maximumTokens: Int,
    sampling: SamplingParameters = .init()
  ) throws(GenerationError) {
    let prompt = tokenizer.encode(prompt)
    let start = tokenizer.textStart
    var tokens = prompt.starts(with: start) ? prompt : start + prompt
    if tokens.isEmpty, let start = tokenizer.eosTokenIDs { tokens = [start] }
    let context = model.configuration.contextLength
    guard tokens.count <= context else {
      throw GenerationError(
        .contextLength, "the prompt has \(tokens.count) tokens: the model reads at most \(context)",
        remedy: "shorten it")
    }
    guard !tokens.isEmpty else {
      throw GenerationError(.emptyPrompt, "the prompt is empty", remedy: "give some text")
    }
    guard maximumTokens >= 0 else {
      throw GenerationError(.sampling, "\(maximumTokens) tokens: expected 0 or more")
    }
    sampler = try Sampler(sampling)
    choice = sampler.nextChoice()
    // No more room than the text can take.
    let (length, overflow) = tokens.count.addingReportingOverflow(maximumTokens)
    session = DecodingSession(model, capacity: overflow ? context : min(context, length))
    text = StreamingDetokenizer(tokenizer)
    promptTokenCount = tokens.count
    history = tokens
    unread = tokens
    remaining = maximumTokens
  }

  /// The next token, or `nil` at the end of the text or of what was asked for.
  public func next() throws(GenerationError) -> GeneratedToken? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    if session.position + unread.count > session.capacity {
      unread = Array(history.suffix(max(1, session.capacity / 2)))
      session.reset()
    }
    let next = sampler.nextChoice()
    let id = try session.append(unread, choosing: choice, then: remaining > 0 ? next : nil)
    choice = next
    if session.model.configuration.eosTokenIDs.contains(id) {
      remaining = 0
      let rest = text.finish()
      return rest.isEmpty ? nil : GeneratedToken(id: id, text: rest)
    }
    if history.count >= 2 * session.capacity { history.removeFirst(session.capacity) }
    history.append(id)
    unread.removeAll(keepingCapacity: true)
    unread.append(id)
    let piece = text.append(id)
    return GeneratedToken(id: id, text: remaining == 0 ? piece + text.finish() : piece)
  }
}

/// Generation as an asynchronous sequence of tokens with text: each is computed when it is asked
/// for, and canceling the task ends it.
///
///     for try await token in TokenStream(generator) { print(token.text, terminator: "") }
public struct TokenStream: AsyncSequence {
  /// A token and the text that it completes.
  public typealias Element = GeneratedToken

  private let generator: TokenGenerator

  /// What `generator` writes.
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
