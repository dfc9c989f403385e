/// A message of a chat: who says what.
public struct ChatMessage: Sendable, Equatable {
  /// Who speaks, such as `user` or `assistant`.
  public var role: String
  /// What is said.
  public var text: String

  /// Creates a message.
  public init(role: String, text: String) { (self.role, self.text) = (role, text) }
}

/// How the messages of a chat become one text.
public struct ChatTemplate: Sendable {
  /// The template that came with the model, if one did.
  public let source: String?
  /// What is not understood of it, if anything: rendering throws the same.
  public let problem: TemplateError?

  private let template: Template?
  private let specialTokens: [String: String]

  /// A template of Hugging Face's kind, or, without one, plain lines that begin with who speaks.
  ///
  /// - Parameters:
  ///   - source: The template.
  ///   - specialTokens: Texts that a template may ask for, such as `bos_token`.
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

  /// Texts at which an answer ends, whatever the model's own ends of text are.
  public var stops: [String] {
    guard source != nil else { return ["\nUser:"] }
    return specialTokens["eos_token"].map { [$0] } ?? []
  }

  /// The text whose continuation is the answer to `messages`.
  ///
  /// - Parameters:
  ///   - messages: The chat so far.
  ///   - variables: What else the template may ask for; `messages`, `add_generation_prompt` and the
  ///     special tokens are there anyway.
  public func render(
    _ messages: [ChatMessage], variables: [String: TemplateValue] = [:]
  ) throws(TemplateError) -> String {
    if let problem { throw problem }
    guard let template else { return try Self.lines(messages) }
    var all = specialTokens.mapValues(TemplateValue.text)
    all["messages"] = .list(
      messages.map { .mapping(["role": .text($0.role), "content": .text($0.text)]) })
    all["add_generation_prompt"] = .boolean(true)
    for name in ["tools", "documents"] { all[name] = TemplateValue.none }
    return try template.render(all.merging(variables) { $1 })
  }

  /// What a model without a template gets.
  private static func lines(_ messages: [ChatMessage]) throws(TemplateError) -> String {
    var text = ""
    for message in messages {
      switch message.role {
      case "system", "developer": text += message.text + "\n"
      case "user": text += "User: " + message.text + "\n"
      case "assistant": text += "Assistant: " + message.text + "\n"
      default:
        throw TemplateError(
          .refused, "role \(message.role): expected system, user or assistant")
      }
    }
    return text + "Assistant:"
  }
}
