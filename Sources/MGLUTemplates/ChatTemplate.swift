/// A message of a chat: its speaker and its content.
public struct ChatMessage: Sendable, Equatable {
  /// The speaker, such as `user` or `assistant`.
  public var role: String
  /// The words of the speaker.
  public var content: String

  /// Creates a message.
  public init(role: String, content: String) {
    (self.role, self.content) = (role, content)
  }
}

/// Writes the messages of a chat as one prompt.
public struct ChatTemplate: Sendable {
  /// The template that came with the model, if one did.
  public let source: String?
  /// The error of reading the template, if it has one: rendering throws the same.
  public let problem: TemplateError?

  private let template: Template?
  private let specialTokens: [String: String]

  /// A template of Hugging Face's kind, or, without one, plain lines that begin with the speaker.
  ///
  /// - Parameters:
  ///   - source: The template.
  ///   - specialTokens: Strings that a template may use, such as `bos_token`.
  public init(source: String? = nil, specialTokens: [String: String] = [:]) {
    self.source = source
    self.specialTokens = specialTokens
    do throws(TemplateError) {
      template = try source.map { source throws(TemplateError) in try Template(source) }
      problem = nil
    } catch {
      template = nil
      problem = error
    }
  }

  /// Strings that end a response, beside the model's own end-of-sequence tokens.
  public var stopSequences: [String] {
    guard source != nil else { return ["\nUser:"] }
    return specialTokens["eos_token"].map { [$0] } ?? []
  }

  /// The prompt whose continuation is the response to `messages`.
  ///
  /// - Parameters:
  ///   - messages: The chat so far.
  ///   - variables: Further variables of the template; it always has `messages`,
  ///     `add_generation_prompt` and the special tokens.
  public func render(
    _ messages: [ChatMessage], variables: [String: TemplateValue] = [:]
  ) throws(TemplateError) -> String {
    if let problem { throw problem }
    guard let template else { return try Self.lines(messages) }
    var all = specialTokens.mapValues(TemplateValue.string)
    all["messages"] = .list(
      messages.map { .mapping(["role": .string($0.role), "content": .string($0.content)]) })
    all["add_generation_prompt"] = .boolean(true)
    for name in ["tools", "documents"] { all[name] = TemplateValue.none }
    return try template.render(all.merging(variables) { $1 })
  }

  /// The prompt of a model without a template.
  private static func lines(_ messages: [ChatMessage]) throws(TemplateError) -> String {
    var prompt = ""
    for message in messages {
      switch message.role {
      case "system", "developer": prompt += message.content + "\n"
      case "user": prompt += "User: " + message.content + "\n"
      case "assistant": prompt += "Assistant: " + message.content + "\n"
      default:
        throw TemplateError(
          .refused, "role \(message.role): expected system, user or assistant")
      }
    }
    return prompt + "Assistant:"
  }
}
