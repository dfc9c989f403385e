/// The body of `/v1/completions`.
struct CompletionRequest {
  let fields: GenerationFields
  let prompts: [Prompt]
  let maxTokens: Int
  let logprobs: Int?
  let echoes: Bool
  /// Whether the tokens that the tokenizer puts before a text begin a prompt.
  private let addsSpecialTokens: Bool

  /// A prompt: a text, token ids, or a list of both.
  struct Prompt {
    enum Part {
      case text(String)
      case ids([Int32])
    }

    var parts: [Part]

    /// The token ids. A text at the start begins with the tokens that the tokenizer puts before texts.
    /// Without such tokens, an empty text is the start of a document: an EOS token.
    func tokens(_ tokenizer: Tokenizer, addsSpecialTokens: Bool) -> [Int32] {
      var tokens: [Int32] = []
      for (index, part) in parts.enumerated() {
        switch part {
        case .ids(let ids): tokens += ids
        case .text(let text):
          tokens += tokenizer.encode(
            text, addsSpecialTokens: index == 0 && addsSpecialTokens)
        }
      }
      if tokens.isEmpty, case .text? = parts.first, let end = tokenizer.eosTokenID { return [end] }
      return tokens
    }

    /// The prompt as an echo repeats it.
    func echo(_ tokenizer: Tokenizer) -> String {
      parts.map { part in
        switch part {
        case .ids(let ids): tokenizer.decode(ids)
        case .text(let text): text
        }
      }.joined()
    }
  }

  private static let names: Set<String> = [
    "prompt", "logprobs", "echo", "best_of", "add_special_tokens",
  ]

  init(_ body: TemplateValue, vocabularySize: Int) throws(APIError) {
    let all = try RequestFields(body)
    try RequestPolicy.check(all, read: Self.names.union(GenerationFields.names))
    prompts = try Self.prompts(all)
    fields = try GenerationFields(all, vocabularySize: vocabularySize)
    maxTokens = try all.integer("max_tokens") ?? 16
    logprobs = try all.integer("logprobs")
    echoes = try all.boolean("echo") ?? false
    addsSpecialTokens = try all.boolean("add_special_tokens") ?? true
    if let bestOf = try all.integer("best_of"), bestOf != fields.count {
      throw RequestPolicy.unsupported("best_of", "leave it out, or give the value of n")
    }
    if let logprobs, !(0...20).contains(logprobs) {
      throw .invalid("logprobs is \(logprobs): expected 0 to 20", param: "logprobs")
    }
    let limit = GenerationFields.maxSequences
    guard prompts.count * fields.count <= limit else {
      throw .invalid(
        "\(prompts.count) prompts, n \(fields.count): expected at most \(limit) sequences",
        param: "n")
    }
  }

  /// A list of texts, or of lists, is a list of prompts; any other list is one prompt.
  private static func prompts(_ fields: RequestFields) throws(APIError) -> [Prompt] {
    guard let value = fields["prompt"] else { throw fields.missing("prompt") }
    if let prompt = prompt(value, inList: false) { return [prompt] }
    if case .list(let values) = value, !values.isEmpty {
      let prompts = values.compactMap { prompt($0, inList: true) }
      if prompts.count == values.count { return prompts }
    }
    throw .invalid(
      "prompt: expected a text, a list of token ids, or a list of such prompts", param: "prompt",
      code: "invalid_value")
  }

  /// The one prompt that `value` is, if it is one: a list of texts alone is one only in a list of prompts.
  private static func prompt(_ value: TemplateValue, inList: Bool) -> Prompt? {
    switch value {
    case .string(let text): return Prompt(parts: [.text(text)])
    case .list(let values):
      if let ids = values.tokens { return ids.isEmpty ? nil : Prompt(parts: [.ids(ids)]) }
      var parts: [Prompt.Part] = []
      var hasIDs = inList
      for value in values {
        if case .string(let text) = value {
          parts.append(.text(text))
        } else if let ids = [value].tokens {
          hasIDs = true
          parts.append(.ids(ids))
        } else {
          return nil
        }
      }
      return hasIDs ? Prompt(parts: parts) : nil
    default: return nil
    }
  }

  /// The sequences to generate: those of the first prompt, those of the second, and so on.
  func sequences(_ tokenizer: Tokenizer, seed: UInt64) throws(APIError) -> [GenerationRequest] {
    var sequences: [GenerationRequest] = []
    for prompt in prompts {
      sequences += try fields.sequences(
        prompt.tokens(tokenizer, addsSpecialTokens: addsSpecialTokens), maxTokens: maxTokens,
        defaultSeed: seed, topLogprobs: logprobs, promptLogprobs: echoes && logprobs != nil)
    }
    return sequences
  }
}
