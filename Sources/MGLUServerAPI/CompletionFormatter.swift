/// Writes responses of `/v1/completions`.
struct CompletionFormatter: ResponseFormatter {
  /// The prompt of each choice, if the response repeats it.
  let echoes: [String]?
  let wantsLogprobs: Bool
  let spelling: TokenSpelling
  /// How many characters of each choice already have log-probabilities.
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

  func opening(_ index: Int, _ head: ResponseHead) -> String? { nil }

  mutating func chunk(_ delta: ResponseDelta, _ head: ResponseHead) -> String {
    JSONBody.encode(ResponseDocument(head, object: Self.object, choices: [choice(delta)]))
  }

  func closing(_ usage: Usage, _ head: ResponseHead) -> String {
    JSONBody.encode(
      ResponseDocument(head, object: Self.object, choices: [Choice](), usage: usage))
  }

  mutating func document(
    _ deltas: [ResponseDelta], _ usage: Usage, _ head: ResponseHead
  ) -> String {
    var choices: [Choice] = []
    for delta in deltas { choices.append(choice(delta)) }
    return JSONBody.encode(
      ResponseDocument(head, object: Self.object, choices: choices, usage: usage))
  }

  private mutating func choice(_ delta: ResponseDelta) -> Choice {
    var logprobs: CompletionLogprobs?
    if wantsLogprobs {
      var values = CompletionLogprobs()
      for token in delta.logprobs {
        values.append(token, at: &offsets[delta.index, default: 0], spelling)
      }
      logprobs = values
    }
    return Choice(
      index: delta.index, text: delta.text, logprobs: logprobs, finishReason: delta.finishReason)
  }
}
