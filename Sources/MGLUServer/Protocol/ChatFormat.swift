/// Answers of `/v1/chat/completions`.
struct ChatFormat: AnswerFormat {
  /// How many alternatives each token's score has; `nil` for no scores.
  let topLogprobs: Int?
  let spelling: TokenSpelling

  private static let chunkObject = "chat.completion.chunk"

  struct Message: Encodable {
    var role: String?
    var content: String?
  }

  struct Logprobs: Encodable { let content: [ChatLogprob] }

  /// A choice whose message is whole, or, in a chunk, what was added to it.
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

  func opening(_ index: Int, _ head: AnswerHead) -> String? {
    let choice = Choice(
      index: index, message: Message(role: "assistant", content: ""), isChunk: true,
      logprobs: nil, finishReason: nil)
    return JSONBody.encode(AnswerDocument(head, object: Self.chunkObject, choices: [choice]))
  }

  func chunk(_ piece: AnswerPiece, _ head: AnswerHead) -> String {
    let message = Message(content: piece.text.isEmpty ? nil : piece.text)
    return JSONBody.encode(
      AnswerDocument(
        head, object: Self.chunkObject, choices: [choice(piece, message, isChunk: true)]))
  }

  func closing(_ usage: Usage, _ head: AnswerHead) -> String {
    JSONBody.encode(
      AnswerDocument(head, object: Self.chunkObject, choices: [Choice](), usage: usage))
  }

  func document(_ pieces: [AnswerPiece], _ usage: Usage, _ head: AnswerHead) -> String {
    let choices = pieces.map { piece in
      choice(piece, Message(role: "assistant", content: piece.text), isChunk: false)
    }
    return JSONBody.encode(
      AnswerDocument(head, object: "chat.completion", choices: choices, usage: usage))
  }

  private func choice(_ piece: AnswerPiece, _ message: Message, isChunk: Bool) -> Choice {
    let logprobs = topLogprobs.map { count in
      Logprobs(content: piece.scores.map { ChatLogprob($0, top: count, spelling) })
    }
    return Choice(
      index: piece.index, message: message, isChunk: isChunk, logprobs: logprobs,
      finishReason: piece.finishReason)
  }
}
