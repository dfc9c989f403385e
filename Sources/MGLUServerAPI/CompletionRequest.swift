/// The body of `/v1/completions`.
struct CompletionRequest: Decodable {
  let fields: GenerationFields
  let prompts: [Prompt]
  let maxTokens: Int?
  let logprobs: Int?
  let echoes: Bool

  /// A prompt as a string, or as token ids.
  enum Prompt {
    case string(String)
    case ids([Int32])

    /// The token ids. An empty string is the start of a document: an EOS token.
    func tokens(_ tokenizer: Tokenizer) -> [Int32] {
      switch self {
      case .ids(let ids): ids
      case .string(""): tokenizer.eosTokenID.map { [$0] } ?? []
      case .string(let prompt): tokenizer.encode(prompt)
      }
    }

    /// The prompt as an echo repeats it.
    func echo(_ tokenizer: Tokenizer) -> String {
      switch self {
      case .ids(let ids): tokenizer.decode(ids)
      case .string(let prompt): prompt
      }
    }
  }

  private enum CodingKeys: String, CodingKey {
    case prompt
    case maxTokens = "max_tokens"
    case logprobs
    case echo
    case suffix
    case bestOf = "best_of"
  }

  init(from decoder: any Decoder) throws {
    fields = try GenerationFields(from: decoder)
    let values = try decoder.container(keyedBy: CodingKeys.self)
    prompts = try Self.prompts(values)
    maxTokens = try values.decodeIfPresent(Int.self, forKey: .maxTokens)
    logprobs = try values.decodeIfPresent(Int.self, forKey: .logprobs)
    echoes = try values.decodeIfPresent(Bool.self, forKey: .echo) ?? false
    if let suffix = try values.decodeIfPresent(String.self, forKey: .suffix), !suffix.isEmpty {
      throw APIError.invalid(
        "suffix is not supported", param: "suffix", code: "unsupported_parameter")
    }
    if let bestOf = try values.decodeIfPresent(Int.self, forKey: .bestOf),
      bestOf != (try fields.count())
    {
      throw APIError.invalid(
        "best_of is not supported beyond n", param: "best_of", code: "unsupported_parameter")
    }
  }

  private static func prompts(_ values: KeyedDecodingContainer<CodingKeys>) throws -> [Prompt] {
    if let prompt = try? values.decode(String.self, forKey: .prompt) { return [.string(prompt)] }
    if let ids = try? values.decode([Int32].self, forKey: .prompt), !ids.isEmpty {
      return [.ids(ids)]
    }
    if let strings = try? values.decode([String].self, forKey: .prompt), !strings.isEmpty {
      return strings.map(Prompt.string)
    }
    if let lists = try? values.decode([[Int32]].self, forKey: .prompt), !lists.isEmpty {
      return lists.map(Prompt.ids)
    }
    guard values.contains(.prompt) else {
      throw APIError.invalid("prompt is missing", param: "prompt", code: "missing_parameter")
    }
    throw APIError.invalid(
      "prompt: expected a string, a list of strings, a list of token ids or a list of such lists",
      param: "prompt", code: "invalid_value")
  }

  /// The sequences to generate: those of the first prompt, those of the second, and so on.
  func sequences(_ tokenizer: Tokenizer, seed: UInt64) throws(APIError) -> [GenerationRequest] {
    let count = try fields.count()
    let limit = GenerationFields.maxSequences
    guard prompts.count * count <= limit else {
      throw .invalid(
        "\(prompts.count) prompts, n \(count): expected at most \(limit) sequences", param: "n")
    }
    if let logprobs, !(0...20).contains(logprobs) {
      throw .invalid("logprobs is \(logprobs): expected 0 to 20", param: "logprobs")
    }
    let maxTokens = try GenerationFields.maxTokens(maxTokens ?? 16)
    var sequences: [GenerationRequest] = []
    for prompt in prompts {
      let tokens = prompt.tokens(tokenizer)
      for index in 0..<count {
        sequences.append(
          GenerationRequest(
            prompt: tokens, maxTokens: maxTokens,
            sampling: try fields.sampling(index, defaultSeed: seed),
            topLogprobs: logprobs, promptLogprobs: echoes && logprobs != nil,
            ignoresEOS: fields.ignoresEOS))
      }
    }
    return sequences
  }
}
