/// A piece of one text of an answer: all of it, or what a step has brought.
struct AnswerPiece: Sendable {
  let index: Int
  var text = ""
  /// Scores of the prompt's tokens, where they are echoed, and of written ones.
  var scores: [TokenLogprob] = []
  var finishReason: FinishReason?

  var isEmpty: Bool { text.isEmpty && scores.isEmpty && finishReason == nil }

  /// Adds what follows.
  mutating func append(_ piece: AnswerPiece) {
    text += piece.text
    scores += piece.scores
    finishReason = piece.finishReason
  }
}

/// Tokens that an answer took.
struct Usage: Encodable {
  let promptTokens: Int
  var completionTokens = 0

  private enum CodingKeys: String, CodingKey {
    case promptTokens = "prompt_tokens"
    case completionTokens = "completion_tokens"
    case totalTokens = "total_tokens"
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(promptTokens, forKey: .promptTokens)
    try values.encode(completionTokens, forKey: .completionTokens)
    try values.encode(promptTokens + completionTokens, forKey: .totalTokens)
  }
}

/// What every answer and every chunk of one begins with.
struct AnswerHead: Sendable {
  let id: String
  let created: Int
  let model: String
  /// Whether chunks have a usage, which is null in all but the last.
  let chunksHaveUsage: Bool
}

/// A document of an answer: whole, or a chunk.
struct AnswerDocument<Choice: Encodable>: Encodable {
  let id: String
  let object: String
  let created: Int
  let model: String
  let choices: [Choice]
  let usage: Usage?
  /// Whether there is such a field, be it null.
  private let hasUsage: Bool

  private enum CodingKeys: CodingKey { case id, object, created, model, choices, usage }

  init(_ head: AnswerHead, object: String, choices: [Choice], usage: Usage? = nil) {
    id = head.id
    created = head.created
    model = head.model
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
    try values.encode(choices, forKey: .choices)
    if hasUsage { try values.encode(usage, forKey: .usage) }
  }
}

/// How the pieces of an answer are spelled: the two kinds of requests differ in nothing else.
protocol AnswerFormat: Sendable {
  /// The text before everything that is written to the text of `index`: an echo.
  func prefix(_ index: Int) -> String
  /// What is sent before anything of the text of `index` is there.
  mutating func opening(_ index: Int, _ head: AnswerHead) -> String?
  /// A chunk with a piece.
  mutating func chunk(_ piece: AnswerPiece, _ head: AnswerHead) -> String
  /// The last chunk, which has no piece.
  func closing(_ usage: Usage, _ head: AnswerHead) -> String
  /// The whole answer.
  mutating func document(_ pieces: [AnswerPiece], _ usage: Usage, _ head: AnswerHead) -> String
}
