/// Answers of `/v1/completions`.
struct CompletionFormat: AnswerFormat {
  /// The texts that are repeated before the answers, if they are.
  let echoes: [String]?
  let wantsLogprobs: Bool
  let spelling: TokenSpelling
  /// How many characters of each text have been scored.
  private var offsets: [Int: Int] = [:]

  private static let object = "text_completion"

  struct Choice: Encodable {
    let index: Int
    let text: String
    let logprobs: CompletionLogprobs?
    let finishReason: FinishReason?

    private enum CodingKeys: String, CodingKey {
      case index
      case text
      case logprobs
      case finishReason = "finish_reason"
    }

    func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(index, forKey: .index)
      try values.encode(text, forKey: .text)
      try values.encode(logprobs, forKey: .logprobs)
      try values.encode(finishReason, forKey: .finishReason)
    }
  }

  init(echoes: [String]?, wantsLogprobs: Bool, spelling: TokenSpelling) {
    self.echoes = echoes
    self.wantsLogprobs = wantsLogprobs
    self.spelling = spelling
  }

  func prefix(_ index: Int) -> String { echoes?[index] ?? "" }

  func opening(_ index: Int, _ head: AnswerHead) -> String? { nil }

  mutating func chunk(_ piece: AnswerPiece, _ head: AnswerHead) -> String {
    JSONBody.encode(AnswerDocument(head, object: Self.object, choices: [choice(piece)]))
  }

  func closing(_ usage: Usage, _ head: AnswerHead) -> String {
    JSONBody.encode(
      AnswerDocument(head, object: Self.object, choices: [Choice](), usage: usage))
  }

  mutating func document(
    _ pieces: [AnswerPiece], _ usage: Usage, _ head: AnswerHead
  ) -> String {
    var choices: [Choice] = []
    for piece in pieces { choices.append(choice(piece)) }
    return JSONBody.encode(
      AnswerDocument(head, object: Self.object, choices: choices, usage: usage))
  }

  private mutating func choice(_ piece: AnswerPiece) -> Choice {
    var logprobs: CompletionLogprobs?
    if wantsLogprobs {
      var values = CompletionLogprobs()
      for score in piece.scores {
        values.append(score, at: &offsets[piece.index, default: 0], spelling)
      }
      logprobs = values
    }
    return Choice(
      index: piece.index, text: piece.text, logprobs: logprobs, finishReason: piece.finishReason)
  }
}
