/// The body of `/v1/chat/completions`.
struct ChatRequest {
  let fields: GenerationFields
  /// The number of the most probable tokens beside each token; `nil` for no log-probabilities.
  let topLogprobs: Int?
  private let messages: RequestMessages
  private let maxTokens: Int
  /// Variables of the template beside the messages.
  private var variables: [String: TemplateValue] = [:]
  /// Whether the response continues the last message.
  private let continuesMessage: Bool

  private static let names: Set<String> = [
    "messages", "max_completion_tokens", "logprobs", "top_logprobs", "tools", "tool_choice",
    "chat_template_kwargs", "reasoning_effort", "documents", "add_generation_prompt",
    "continue_final_message",
  ]

  init(_ body: TemplateValue, _ template: ChatTemplate, vocabularySize: Int) throws(APIError) {
    let all = try RequestFields(body)
    try RequestPolicy.check(all, read: Self.names.union(GenerationFields.names))
    messages = try RequestMessages(all, template)
    fields = try GenerationFields(all, vocabularySize: vocabularySize)
    maxTokens = try all.integer(all.first(of: "max_completion_tokens", "max_tokens")) ?? .max
    topLogprobs = try Self.topLogprobs(all)
    _ = try all.object("chat_template_kwargs")
    if case .mapping(let given)? = all["chat_template_kwargs"] {
      for (name, value) in given { variables[name] = value }
    }
    variables["tools"] = try Self.tools(all, template)
    for name in ["reasoning_effort", "documents"] where all[name] != nil {
      guard template.reads(name) else {
        throw RequestPolicy.unsupported(name, "this model's chat template does not read it")
      }
      variables[name] = all[name]
    }
    continuesMessage = try all.boolean("continue_final_message") ?? false
    let addsPrompt = try all.boolean("add_generation_prompt") ?? !continuesMessage
    guard !(addsPrompt && continuesMessage) else {
      throw .invalid(
        "continue_final_message excludes add_generation_prompt", param: "continue_final_message",
        code: "invalid_value")
    }
    if !addsPrompt {
      guard template.source != nil else { throw RequestPolicy.unsupported("add_generation_prompt") }
      variables["add_generation_prompt"] = .boolean(false)
    }
  }

  private static func topLogprobs(_ fields: RequestFields) throws(APIError) -> Int? {
    let isWanted = try fields.boolean("logprobs") ?? false
    let count = try fields.integer("top_logprobs") ?? 0
    guard (0...20).contains(count) else {
      throw .invalid("top_logprobs is \(count): expected 0 to 20", param: "top_logprobs")
    }
    guard isWanted || count == 0 else {
      throw .invalid(
        "top_logprobs is \(count): expected logprobs true with it", param: "top_logprobs",
        code: "invalid_value")
    }
    return isWanted ? count : nil
  }

  /// The definitions of tools for the template. Nothing forces the model to call one: only the choices
  /// `auto`, and `none`, which hides the tools, can be kept.
  private static func tools(
    _ fields: RequestFields, _ template: ChatTemplate
  ) throws(APIError) -> TemplateValue? {
    let choice = fields["tool_choice"]
    let tools = try fields.array("tools") ?? []
    for (index, tool) in tools.enumerated() {
      _ = try RequestFields(tool, at: "tools.\(index)")
    }
    switch choice {
    case .string("none")?: return nil
    case nil, .string("auto")?: break
    default:
      throw RequestPolicy.unsupported("tool_choice", "expected \"auto\" or \"none\"")
    }
    guard !tools.isEmpty else { return nil }
    guard template.reads("tools") else {
      throw RequestPolicy.unsupported("tools", "this model's chat template does not read them")
    }
    return .list(tools)
  }

  /// The sequences to generate, all of them responses to the same messages.
  func sequences(
    _ template: ChatTemplate, _ tokenizer: Tokenizer, seed: UInt64
  ) throws(APIError) -> [GenerationRequest] {
    let prompt = try messages.render(template, variables, continuesLast: continuesMessage)
    return try fields.sequences(
      tokenizer.encode(prompt), maxTokens: maxTokens, defaultSeed: seed, topLogprobs: topLogprobs)
  }
}

extension ChatTemplate {
  /// Whether the source of the template has a name.
  func reads(_ name: String) -> Bool { source?.contains(name) ?? false }
}
