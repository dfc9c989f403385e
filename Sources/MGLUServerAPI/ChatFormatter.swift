/// Writes responses of `/v1/chat/completions`.
struct ChatFormatter: ResponseFormatter {
  /// How many alternatives each token has; `nil` for no log-probabilities.
  let topLogprobs: Int?
  let spelling: TokenSpelling

  private static let chunkObject = "chat.completion.chunk"

  struct Message: Encodable {
    var role: String?
    var content: String?
  }

  struct Logprobs: Encodable { let content: [ChatLogprob] }

  /// A choice. Its message is whole, or, in a chunk, the part that is added to it.
  struct Choice: Encodable {
    let index: Int
    let message: Message
    let isChunk: Bool
    let logprobs: Logprobs?
    let finishReason: FinishReason?

    private enum CodingKeys: String, CodingKey {
      case index
      case message
      case delta
      case logprobs
      case finishReason = "finish_reason"
    }

    func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(index, forKey: .index)
      try values.encode(message, forKey: isChunk ? .delta : .message)
      try values.encode(logprobs, forKey: .logprobs)
      try values.encode(finishReason, forKey: .finishReason)
    }
  }

  func prefix(_ index: Int) -> String { "" }

  func opening(_ index: Int, _ head: ResponseHead) -> String? {
    let choice = Choice(
      index: index, message: Message(role: "assistant", content: ""), isChunk: true,
      logprobs: nil, finishReason: nil)
    return JSONBody.encode(ResponseDocument(head, object: Self.chunkObject, choices: [choice]))
  }

  func chunk(_ delta: ResponseDelta, _ head: ResponseHead) -> String {
    let message = Message(content: delta.text.isEmpty ? nil : delta.text)
    return JSONBody.encode(
      ResponseDocument(
        head, object: Self.chunkObject, choices: [choice(delta, message, isChunk: true)]))
  }

  func closing(_ usage: Usage, _ head: ResponseHead) -> String {
    JSONBody.encode(
      ResponseDocument(head, object: Self.chunkObject, choices: [Choice](), usage: usage))
  }

  func document(_ deltas: [ResponseDelta], _ usage: Usage, _ head: ResponseHead) -> String {
    let choices = deltas.map { delta in
      choice(delta, Message(role: "assistant", content: delta.text), isChunk: false)
    }
    return JSONBody.encode(
      ResponseDocument(head, object: "chat.completion", choices: choices, usage: usage))
  }

  private func choice(_ delta: ResponseDelta, _ message: Message, isChunk: Bool) -> Choice {
    let logprobs = topLogprobs.map { count in
      Logprobs(content: delta.logprobs.map { ChatLogprob($0, top: count, spelling) })
    }
    return Choice(
      index: delta.index, message: message, isChunk: isChunk, logprobs: logprobs,
      finishReason: delta.finishReason)
  }
}
