/// Writes the response to a request, whole or streamed, from the events of its sequences.
struct ResponseWriter<Formatter: ResponseFormatter>: Sendable {
  private var formatter: Formatter
  private let head: ResponseHead
  private let count: Int
  private let perPrompt: Int
  private var usage: Usage

  /// A writer of the response to a request for `perPrompt` sequences after each prompt.
  init(
    _ formatter: Formatter, _ head: ResponseHead, sequences: [GenerationRequest], perPrompt: Int
  ) {
    self.formatter = formatter
    self.head = head
    count = sequences.count
    self.perPrompt = perPrompt
    let first = stride(from: 0, to: sequences.count, by: perPrompt)
    usage = Usage(promptTokens: first.reduce(0) { $0 + sequences[$1].prompt.count })
  }

  /// The whole response, once all sequences have finished.
  mutating func document(_ request: RequestHandle) async throws(APIError) -> String {
    var deltas = (0..<count).map { ResponseDelta(index: $0) }
    do throws(ServingError) {
      for try await event in request {
        let delta = delta(event)
        deltas[delta.index].append(delta)
      }
    } catch {
      throw APIError(error)
    }
    // The events end early if the task was canceled.
    guard deltas.allSatisfy({ $0.finishReason != nil }) else { throw .stopping }
    return formatter.document(deltas, usage, head)
  }

  /// Sends the response as server-sent events: `first`, then the other events of `request`. Throws
  /// the errors of `write` alone: others are part of the response.
  mutating func stream(
    _ request: RequestHandle, first: RequestHandle.Element?,
    to write: (String) async throws -> Void
  ) async throws {
    for index in 0..<count {
      if let opening = formatter.opening(index, head) { try await write(Self.event(opening)) }
    }
    do {
      if let first, let chunk = chunk(first) { try await write(chunk) }
      for try await event in request {
        if let chunk = chunk(event) { try await write(chunk) }
      }
    } catch let error as ServingError {
      try await write(Self.event(JSONBody.encode(APIError(error))))
    }
    if head.chunksHaveUsage { try await write(Self.event(formatter.closing(usage, head))) }
    try await write(Self.event("[DONE]"))
  }

  private mutating func chunk(_ event: RequestHandle.Element) -> String? {
    let delta = delta(event)
    // A token without text is sent too: it shows the client that the server works.
    if case .prompt = event.event, delta.isEmpty { return nil }
    return Self.event(formatter.chunk(delta, head))
  }

  private static func event(_ data: String) -> String { "data: \(data)\n\n" }

  private mutating func delta(_ event: RequestHandle.Element) -> ResponseDelta {
    let index = event.sequence
    switch event.event {
    case .prompt(let logprobs, let cachedTokens):
      // The others of a prompt take what the first has read.
      if index % perPrompt == 0 { usage.cachedTokens += cachedTokens }
      return ResponseDelta(index: index, text: formatter.prefix(index), logprobs: logprobs)
    case .token(_, let text, let logprob):
      usage.completionTokens += 1
      return ResponseDelta(index: index, text: text, logprobs: logprob.map { [$0] } ?? [])
    case .finished(let text, let reason):
      return ResponseDelta(index: index, text: text, finishReason: reason)
    }
  }
}
