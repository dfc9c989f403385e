import OrderedCollections

/// The messages of a chat, as the template sees them: with all that the client sent, as transformers
/// passes it on.
struct RequestMessages {
  private let values: [TemplateValue]

  /// Reads the field `messages`.
  init(_ fields: RequestFields, _ template: ChatTemplate) throws(APIError) {
    guard let messages = try fields.array("messages") else { throw fields.missing("messages") }
    guard !messages.isEmpty else {
      throw .invalid("messages is empty", param: "messages", code: "invalid_value")
    }
    var values: [TemplateValue] = []
    for (index, message) in messages.enumerated() {
      values.append(.mapping(try Self.message(message, at: "messages.\(index)", template)))
    }
    self.values = values
  }

  private typealias Members = OrderedDictionary<String, TemplateValue>

  /// Names of a message's reasoning; templates read one of the first two.
  private static let reasoningNames = ["reasoning_content", "thinking", "reasoning"]

  private static func message(
    _ message: TemplateValue, at place: String, _ template: ChatTemplate
  ) throws(APIError) -> Members {
    let fields = try RequestFields(message, at: place)
    guard let role = try fields.string("role") else { throw fields.missing("role") }
    var members = fields.all
    if let content = try content(fields, template) {
      members["content"] = content
    } else if role != "assistant" {
      throw fields.missing("content")
    } else if fields["tool_calls"] == nil, fields["function_call"] == nil {
      // Templates tell a message of calls alone by its lack of a text.
      members["content"] = .string("")
    }
    if fields["tool_calls"] != nil { members["tool_calls"] = try calls(fields) }
    if let name = reasoningNames.first(where: { fields[$0] != nil }), let text = fields[name] {
      let thinking = members.removeValue(forKey: "thinking") ?? text
      members.updateValue(thinking, forKey: "thinking", insertingAt: 0)
      members["reasoning_content"] = text
    }
    return members
  }

  /// The content: a text, or parts of texts. Templates that read parts get them, others their texts.
  private static func content(
    _ fields: RequestFields, _ template: ChatTemplate
  ) throws(APIError) -> TemplateValue? {
    switch fields["content"] {
    case nil: return nil
    case .string(let text)?: return .string(text)
    case .list(let parts)?:
      var texts: [String] = []
      for (index, part) in parts.enumerated() {
        let part = try RequestFields(part, at: "\(fields.path("content")).\(index)")
        guard try part.string("type") == "text", let text = try part.string("text") else {
          throw .invalid(
            "\(part.place): only parts of type text are supported in messages", param: "messages",
            code: "invalid_value")
        }
        texts.append(text)
      }
      guard template.readsParts else { return .string(texts.joined()) }
      return .list(
        texts.map { .mapping(["type": .string("text"), "text": .string($0)]) })
    default: throw fields.wrong("content", expected: "a string, or a list of parts")
    }
  }

  /// Calls of tools. Their arguments are JSON in a string, and templates expect what it says.
  private static func calls(_ fields: RequestFields) throws(APIError) -> TemplateValue {
    var result: [TemplateValue] = []
    for (index, call) in (try fields.array("tool_calls") ?? []).enumerated() {
      let place = "\(fields.path("tool_calls")).\(index)"
      let function = try RequestFields(call, at: place).object("function")
      guard case .mapping(var members) = call, let function,
        case .mapping(var parts)? = members["function"], let arguments = parts["arguments"]
      else {
        result.append(call)
        continue
      }
      parts["arguments"] = try Self.arguments(arguments, at: function.path("arguments"))
      members["function"] = .mapping(parts)
      result.append(.mapping(members))
    }
    return .list(result)
  }

  private static func arguments(
    _ value: TemplateValue, at place: String
  ) throws(APIError) -> TemplateValue {
    guard case .string(let text) = value else { return value }
    if text.isEmpty { return .mapping([:]) }
    do { return try TemplateValue(parsing: text.utf8) } catch {
      throw .invalid("\(place) is \(error.message)", param: place, code: "invalid_value")
    }
  }

  /// The prompt that `template` makes of the messages and of variables.
  ///
  /// - Parameters:
  ///   - template: The model's.
  ///   - variables: Variables beside the messages.
  ///   - continuesLast: Whether the prompt ends with the text of the last message.
  func render(
    _ template: ChatTemplate, _ variables: [String: TemplateValue], continuesLast: Bool
  ) throws(APIError) -> String {
    guard continuesLast else { return try Self.render(template, values, variables) }
    guard case .mapping(var last)? = values.last,
      let (content, text) = Self.marked(last["content"])
    else { throw .invalid("the last message has no text to continue", param: "messages") }
    last["content"] = content
    var messages = values
    messages[messages.count - 1] = .mapping(last)
    let prompt = try Self.render(template, messages, variables)
    let words = text.trimmed(start: true).utf8
    guard let range = prompt.utf8.ranges(of: Self.mark.trimmed().utf8).last,
      words.isEmpty || !prompt.utf8.ranges(of: words).isEmpty
    else {
      throw .invalid(
        "the chat template does not write the last message as it is", param: "messages",
        code: "invalid_value")
    }
    let before = String(prompt[..<range.lowerBound])
    // Where the template trims texts, the space behind the mark is gone.
    let isWhole = prompt.utf8[range.lowerBound...].starts(with: Self.mark.utf8)
    return isWhole ? before : before.trimmed()
  }

  /// Stands behind the text that is continued, as transformers has it, so that its end is found.
  private static let mark = "CONTINUE_FINAL_MESSAGE_TAG "

  /// A content with the mark behind its last text, and that text.
  private static func marked(
    _ content: TemplateValue?
  ) -> (content: TemplateValue, text: String)? {
    switch content {
    case .string(let text)?: return (.string(text + mark), text)
    case .list(var parts)?:
      guard case .mapping(var part)? = parts.popLast(), case .string(let text)? = part["text"]
      else { return nil }
      part["text"] = .string(text + mark)
      return (.list(parts + [.mapping(part)]), text)
    default: return nil
    }
  }

  private static func render(
    _ template: ChatTemplate, _ messages: [TemplateValue], _ variables: [String: TemplateValue]
  ) throws(APIError) -> String {
    // A model without a template has lines of speakers and texts.
    let isPlain = template.source == nil && template.problem == nil
    let lines = isPlain ? try messages.map(plain) : []
    // A variable of the request cannot stand for the messages.
    let all = variables.merging(["messages": .list(messages)]) { $1 }
    do { return try template.render(lines, variables: all) } catch {
      throw unreadCalls(of: messages, error, template) ?? described(error)
    }
  }

  /// The error of a message of calls alone whose text `template` looks for, because it knows no calls.
  private static func unreadCalls(
    of messages: [TemplateValue], _ error: TemplateError, _ template: ChatTemplate
  ) -> APIError? {
    guard error.code == .evaluation else { return nil }
    for (index, message) in messages.enumerated() {
      guard case .mapping(let members) = message, members["content"] == nil else { continue }
      for name in ["tool_calls", "function_call"]
      where members[name] != nil && !template.reads(name) {
        return RequestPolicy.unsupported(
          "messages.\(index).\(name)",
          "this model's chat template does not read tool calls: give the message a content")
      }
    }
    return nil
  }

  private static func plain(_ message: TemplateValue) throws(APIError) -> ChatMessage {
    guard case .mapping(let members) = message, members.count == 2,
      case .string(let role)? = members["role"], case .string(let content)? = members["content"]
    else {
      throw .invalid(
        "this model has no chat template: a message can only have a role and a text",
        param: "messages", code: "invalid_value")
    }
    return ChatMessage(role: role, content: content)
  }

  private static func described(_ error: TemplateError) -> APIError {
    let code =
      switch error.code {
      case .refused: "invalid_value"
      case .limit: "chat_template_limit"
      case .syntax, .unsupported, .evaluation: "unsupported_chat_template"
      }
    let hint = error.code == .refused ? "" : "; use /v1/completions"
    return .invalid("\(error)\(hint)", param: "messages", code: code)
  }
}

extension ChatTemplate {
  /// Whether the template goes through the parts of a content by itself: it then names the type of texts.
  var readsParts: Bool { reads("'text'") || reads("\"text\"") }
}

extension String {
  /// The string without white space at its end, and at its start.
  fileprivate func trimmed(start: Bool = false) -> String {
    var scalars = unicodeScalars[...]
    if start { scalars = scalars.drop(while: \.properties.isWhitespace) }
    while scalars.last?.properties.isWhitespace == true { scalars.removeLast() }
    return String(scalars)
  }
}
