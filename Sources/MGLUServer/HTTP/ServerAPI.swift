#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What the server answers, whatever carries it.
public struct ServerAPI: Sendable {
  let engine: Engine
  /// What the model is called.
  let model: String
  private let created: Int
  let template: ChatTemplate

  /// An answer that is not an error.
  package enum Reply: Sendable {
    case json(String)
    case text(String, type: String)
    /// Server-sent events: `send` writes them and throws when the client has gone; `cancel` ends
    /// what is computed for them.
    case events(
      cancel: @Sendable () -> Void,
      send: @Sendable (_ write: (String) async throws -> Void) async throws -> Void)
  }

  /// Answers about the model of `engine`, which is called `model`.
  public init(_ engine: Engine, model: String, template: ChatTemplate = .init()) {
    self.engine = engine
    self.model = model
    self.template = template
    created = Self.now
  }

  private static var now: Int { Int(Date().timeIntervalSince1970) }

  /// `/v1/completions`.
  package func completions(_ body: [UInt8]) async throws(APIError) -> Reply {
    let request = try JSONBody.decode(CompletionRequest.self, from: body)
    let texts = try request.texts(tokenizer, context: engine.context, seed: .random(in: 0 ... .max))
    let count = texts.count / request.prompts.count
    let echoes: [String]? =
      request.echoes
      ? request.prompts.flatMap { prompt in
        [String](repeating: prompt.text(tokenizer), count: count)
      } : nil
    let format = CompletionFormat(
      echoes: echoes, wantsLogprobs: request.logprobs != nil, spelling: spelling)
    return try await answer(texts, format, request.fields, prefix: "cmpl-")
  }

  /// `/v1/chat/completions`.
  package func chat(_ body: [UInt8]) async throws(APIError) -> Reply {
    let request = try JSONBody.decode(ChatRequest.self, from: body)
    let texts = try request.texts(
      template, tokenizer, context: engine.context, seed: .random(in: 0 ... .max))
    let format = ChatFormat(
      topLogprobs: request.wantsLogprobs ? request.topLogprobs : nil, spelling: spelling)
    return try await answer(texts, format, request.fields, prefix: "chatcmpl-")
  }

  private func answer(
    _ texts: [TextRequest], _ format: some AnswerFormat, _ fields: GenerationFields,
    prefix: String
  ) async throws(APIError) -> Reply {
    let id = String(UInt64.random(in: 0 ... .max), radix: 36)
    let head = AnswerHead(
      id: prefix + id, created: Self.now, model: model, chunksHaveUsage: fields.includesUsage)
    var writer = AnswerWriter(format, head, texts: texts)
    let (events, cancel) = try engine.submit(texts)
    guard fields.isStreamed else { return .json(try await writer.document(events)) }
    // What fails before anything is there is answered with a status of its own.
    var iterator = events.makeAsyncIterator()
    let first = await iterator.next()
    if case .failed(let error) = first { throw error }
    return .events(cancel: cancel) { [writer] write in
      var writer = writer
      try await writer.stream(events, first: first, to: write)
    }
  }

  private struct Model: Encodable {
    let id: String
    let object = "model"
    let created: Int
    let ownedBy = "swift-mglu"
    let longest: Int

    enum CodingKeys: String, CodingKey {
      case id
      case object
      case created
      case ownedBy = "owned_by"
      case longest = "max_model_len"
    }
  }

  private var description: Model {
    Model(id: model, created: created, longest: engine.context)
  }

  /// `/v1/models`.
  package func models() -> Reply {
    struct List: Encodable {
      let object = "list"
      let data: [Model]
    }
    return .json(JSONBody.encode(List(data: [description])))
  }

  /// `/v1/models/ID`: any id is the model's.
  func modelInfo() -> Reply { .json(JSONBody.encode(description)) }

  /// `/health`.
  package func health() throws(APIError) -> Reply {
    switch engine.state {
    case .open: return .json(#"{"status":"ok"}"#)
    case .draining: throw .stopping
    case .failed:
      var error = APIError.deviceFailed
      error.status = 503
      throw error
    }
  }

  /// `/metrics`.
  package func metrics() -> Reply {
    .text(engine.metrics.text(model: model), type: "text/plain; version=0.0.4; charset=utf-8")
  }

  var tokenizer: Tokenizer { engine.tokenizer }
  private var spelling: TokenSpelling { TokenSpelling(tokenizer: tokenizer) }
}
