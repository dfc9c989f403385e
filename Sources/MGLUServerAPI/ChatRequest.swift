/// The body of `/v1/chat/completions`.
struct ChatRequest: Decodable {
  let fields: GenerationFields
  let messages: [ChatMessage]
  let maxTokens: Int?
  let wantsLogprobs: Bool
  let topLogprobs: Int
  /// Variables of the template beside the messages. vLLM has the same field.
  let templateVariables: [String: TemplateValue]

  private enum CodingKeys: String, CodingKey {
    case messages
    case maxTokens = "max_tokens"
    case maxCompletionTokens = "max_completion_tokens"
    case logprobs
    case topLogprobs = "top_logprobs"
    case tools
    case templateVariables = "chat_template_kwargs"
  }

  private struct Ignored: Decodable {}

  init(from decoder: any Decoder) throws {
    fields = try GenerationFields(from: decoder)
    let values = try decoder.container(keyedBy: CodingKeys.self)
    messages = try values.decode([ChatMessage].self, forKey: .messages)
    maxTokens =
      try values.decodeIfPresent(Int.self, forKey: .maxCompletionTokens)
      ?? values.decodeIfPresent(Int.self, forKey: .maxTokens)
    wantsLogprobs = try values.decodeIfPresent(Bool.self, forKey: .logprobs) ?? false
    topLogprobs = try values.decodeIfPresent(Int.self, forKey: .topLogprobs) ?? 0
    switch try values.decodeIfPresent(TemplateValue.self, forKey: .templateVariables) {
    case nil: templateVariables = [:]
    case .mapping(let variables)?:
      templateVariables = Dictionary(uniqueKeysWithValues: variables.map { ($0.key, $0.value) })
    default:
      throw APIError.invalid(
        "chat_template_kwargs is not an object", param: "chat_template_kwargs",
        code: "invalid_value")
    }
    guard !messages.isEmpty else {
      throw APIError.invalid("messages is empty", param: "messages", code: "invalid_value")
    }
    if let tools = try values.decodeIfPresent([Ignored].self, forKey: .tools), !tools.isEmpty {
      throw APIError.invalid(
        "tools are not supported", param: "tools", code: "unsupported_parameter")
    }
    guard (0...20).contains(topLogprobs) else {
      throw APIError.invalid(
        "top_logprobs is \(topLogprobs): expected 0 to 20", param: "top_logprobs")
    }
  }

  /// The sequences to generate, all of them responses to the same messages.
  func sequences(
    _ template: ChatTemplate, _ tokenizer: Tokenizer, seed: UInt64
  ) throws(APIError) -> [GenerationRequest] {
    let prompt: String
    do { prompt = try template.render(messages, variables: templateVariables) } catch {
      throw Self.described(error)
    }
    let tokens = tokenizer.encode(prompt)
    let maxTokens = try GenerationFields.maxTokens(maxTokens ?? .max)
    var sequences: [GenerationRequest] = []
    for index in 0..<(try fields.count()) {
      sequences.append(
        GenerationRequest(
          prompt: tokens, maxTokens: maxTokens,
          sampling: try fields.sampling(index, defaultSeed: seed),
          topLogprobs: wantsLogprobs ? topLogprobs : nil, ignoresEOS: fields.ignoresEOS))
    }
    return sequences
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

extension ChatMessage: Decodable {
  private enum CodingKeys: CodingKey { case role, content }

  private struct Part: Decodable {
    let type: String
    let text: String?
  }

  /// A message whose content is a string, or parts of type `text`.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    let role = try values.decode(String.self, forKey: .role)
    if let content = try? values.decode(String.self, forKey: .content) {
      self.init(role: role, content: content)
      return
    }
    let parts = try values.decodeIfPresent([Part].self, forKey: .content) ?? []
    guard parts.allSatisfy({ $0.type == "text" && $0.text != nil }) else {
      throw APIError.invalid(
        "only text is supported in messages", param: "messages", code: "invalid_value")
    }
    self.init(role: role, content: parts.compactMap(\.text).joined())
  }
}
