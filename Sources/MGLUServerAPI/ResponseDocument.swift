/// The numbers of tokens that a request took.
struct Usage: Encodable {
  /// Tokens of the prompts, each of which counts once.
  let promptTokens: Int
  /// How many of them had been read before.
  var cachedTokens = 0
  var completionTokens = 0

  private enum CodingKeys: String, CodingKey {
    case promptTokens = "prompt_tokens"
    case completionTokens = "completion_tokens"
    case totalTokens = "total_tokens"
    case promptDetails = "prompt_tokens_details"
  }

  private struct PromptDetails: Encodable {
    let cachedTokens: Int
    private enum CodingKeys: String, CodingKey { case cachedTokens = "cached_tokens" }
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(promptTokens, forKey: .promptTokens)
    try values.encode(completionTokens, forKey: .completionTokens)
    try values.encode(promptTokens + completionTokens, forKey: .totalTokens)
    try values.encode(PromptDetails(cachedTokens: cachedTokens), forKey: .promptDetails)
  }
}

/// The fields that a response and all of its chunks share.
struct ResponseHead: Sendable {
  let id: String
  let created: Int
  let model: String
  /// Names what computes: equal seeds give equal texts where it is equal.
  let fingerprint: String?
  /// Whether chunks have a usage. It is null in all chunks but the last.
  let chunksHaveUsage: Bool
}

/// The JSON document of a whole response, or of a chunk.
struct ResponseDocument<Choice: Encodable>: Encodable {
  let id: String
  let object: String
  let created: Int
  let model: String
  let fingerprint: String?
  let choices: [Choice]
  let usage: Usage?
  /// Whether the document has the field `usage`, which may be null.
  private let hasUsage: Bool

  private enum CodingKeys: String, CodingKey {
    case id, object, created, model, choices, usage
    case fingerprint = "system_fingerprint"
  }

  init(_ head: ResponseHead, object: String, choices: [Choice], usage: Usage? = nil) {
    id = head.id
    created = head.created
    model = head.model
    fingerprint = head.fingerprint
    self.object = object
    self.choices = choices
    self.usage = usage
    hasUsage = usage != nil || head.chunksHaveUsage
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(id, forKey: .id)
    try values.encode(object, forKey: .object)
    try values.encode(created, forKey: .created)
    try values.encode(model, forKey: .model)
    try values.encodeIfPresent(fingerprint, forKey: .fingerprint)
    try values.encode(choices, forKey: .choices)
    if hasUsage { try values.encode(usage, forKey: .usage) }
  }
}
