/// Makes an answer, whole or streamed, of what happens to a request's texts.
struct AnswerWriter<Format: AnswerFormat>: Sendable {
  private var format: Format
  private let head: AnswerHead
  private let count: Int
  private var usage: Usage

  init(_ format: Format, _ head: AnswerHead, texts: [TextRequest]) {
    self.format = format
    self.head = head
    count = texts.count
    usage = Usage(promptTokens: texts.reduce(0) { $0 + $1.prompt.count })
  }

  /// The whole answer, once it is there.
  mutating func document(_ events: AsyncStream<RequestEvent>) async throws(APIError) -> String {
    var pieces = (0..<count).map { AnswerPiece(index: $0) }
    for await event in events {
      let piece = try self.piece(event)
      pieces[piece.index].append(piece)
    }
    // A task that was cancelled sees the end of the events too.
    guard pieces.allSatisfy({ $0.finishReason != nil }) else { throw .stopping }
    return format.document(pieces, usage, head)
  }

  /// Sends the answer in server-sent events, from the first event on.
  mutating func stream(
    _ events: AsyncStream<RequestEvent>, first: RequestEvent?,
    to write: (String) async throws -> Void
  ) async throws {
    for index in 0..<count {
      if let opening = format.opening(index, head) { try await write(Self.event(opening)) }
    }
    do throws(APIError) {
      if let first, let text = try chunk(first) { try await send(text, write) }
      for await event in events {
        if let text = try chunk(event) { try await send(text, write) }
      }
    } catch {
      if error.status == Self.clientGone { throw error }
      try await write(Self.event(JSONBody.encode(error)))
    }
    if head.chunksHaveUsage { try await write(Self.event(format.closing(usage, head))) }
    try await write(Self.event("[DONE]"))
  }

  /// The status, never sent, of a client that does not listen any more.
  private static var clientGone: Int { 499 }

  private func send(
    _ text: String, _ write: (String) async throws -> Void
  ) async throws(APIError) {
    do { try await write(text) } catch {
      throw APIError(status: Self.clientGone, message: "\(error)", type: "client_gone")
    }
  }

  private mutating func chunk(_ event: RequestEvent) throws(APIError) -> String? {
    let piece = try piece(event)
    // A token without text is sent too, as a sign of life.
    if case .text(_, .prompt) = event, piece.isEmpty { return nil }
    return Self.event(format.chunk(piece, head))
  }

  private static func event(_ data: String) -> String { "data: \(data)\n\n" }

  private mutating func piece(_ event: RequestEvent) throws(APIError) -> AnswerPiece {
    switch event {
    case .failed(let error): throw error
    case .text(let index, .prompt(let scores)):
      return AnswerPiece(index: index, text: format.prefix(index), scores: scores)
    case .text(let index, .token(_, let text, let score)):
      usage.completionTokens += 1
      return AnswerPiece(index: index, text: text, scores: score.map { [$0] } ?? [])
    case .text(let index, .finished(let text, let reason)):
      return AnswerPiece(index: index, text: text, finishReason: reason)
    }
  }
}
