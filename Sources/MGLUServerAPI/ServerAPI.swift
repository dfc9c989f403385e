#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// OpenAI's API over an engine: JSON in, JSON or events out, without HTTP.
public struct ServerAPI: Sendable {
  package let engine: Engine
  /// The names that clients know the model by; responses have the first.
  let models: [String]
  let template: ChatTemplate
  let longWork = LongWork()
  let rehearsal = Rehearsal()
  private let fingerprint: String?
  private let created: Int

  /// A response that is not an error.
  package enum Reply: Sendable {
    case json(String)
    case body(String, type: String)
    /// Server-sent events. `send` writes them, and throws the errors of `write`; `cancel` ends their
    /// computation.
    case events(
      cancel: @Sendable () -> Void,
      send: @Sendable (_ write: (String) async throws -> Void) async throws -> Void)
  }

  /// The API of a model that `engine` runs.
  ///
  /// - Parameters:
  ///   - engine: The engine.
  ///   - model: The name of the model in responses.
  ///   - aliases: Further names that clients may ask for.
  ///   - template: What makes a prompt of a chat.
  ///   - fingerprint: The `system_fingerprint` of responses, which names what computes.
  public init(
    _ engine: Engine, model: String, aliases: [String] = [], template: ChatTemplate = .init(),
    fingerprint: String? = nil
  ) {
    self.fingerprint = fingerprint
    self.engine = engine
    models = [model] + aliases.filter { $0 != model }
    self.template = template
    created = Self.now
  }

  private static var now: Int { Int(Date().timeIntervalSince1970) }

  /// `/v1/completions`. The engine is fair to clients of different names, and counts requests but those of a
  /// rehearsal.
  package func completions(
    _ body: [UInt8], client: String = "", isRehearsal: Bool = false
  ) async throws(APIError) -> Reply {
    let (request, sequences) = try await longWork.run(body.count) {
      [tokenizer, vocabularySize] () throws(APIError) in
      let request = try CompletionRequest(
        try JSONBody.read(body), vocabularySize: vocabularySize)
      return (request, try request.sequences(tokenizer, seed: .random(in: 0 ... .max)))
    }
    let echoes: [String]? =
      request.echoes
      ? request.prompts.flatMap { prompt in
        [String](repeating: prompt.echo(tokenizer), count: request.fields.count)
      } : nil
    let formatter = CompletionFormatter(
      echoes: echoes, wantsLogprobs: request.logprobs != nil, spelling: spelling)
    return try await respond(
      sequences, request.fields, stopSequences: request.fields.stopSequences, formatter,
      prefix: "cmpl-", client: client, isRehearsal: isRehearsal,
      fields: ("prompt", logprobs: "logprobs"),
      echoedBytes: echoes?.reduce(0) { $0 + $1.utf8.count } ?? 0)
  }

  /// `/v1/chat/completions`, as ``completions(_:client:isRehearsal:)``.
  package func chat(
    _ body: [UInt8], client: String = "", isRehearsal: Bool = false
  ) async throws(APIError) -> Reply {
    let (request, sequences) = try await longWork.run(body.count) {
      [tokenizer, vocabularySize, template] () throws(APIError) in
      let request = try ChatRequest(
        try JSONBody.read(body), template, vocabularySize: vocabularySize)
      return (request, try request.sequences(template, tokenizer, seed: .random(in: 0 ... .max)))
    }
    let formatter = ChatFormatter(topLogprobs: request.topLogprobs, spelling: spelling)
    return try await respond(
      sequences, request.fields, stopSequences: request.fields.stopSequences(template), formatter,
      prefix: "chatcmpl-", client: client, isRehearsal: isRehearsal,
      fields: ("messages", logprobs: "top_logprobs"))
  }

  private func respond(
    _ sequences: [GenerationRequest], _ fields: GenerationFields, stopSequences: [String],
    _ formatter: some ResponseFormatter, prefix: String, client: String, isRehearsal: Bool,
    fields names: (prompt: String, logprobs: String), echoedBytes: Int = 0
  ) async throws(APIError) -> Reply {
    let limit = engine.contextLength
    if let count = sequences.map(\.prompt.count).max(), count > limit {
      throw .contextLength(limit: limit, found: count, field: names.prompt)
    }
    try ResponseLimits.checkLogprobs(
      of: sequences, contextLength: limit, field: names.logprobs)
    try ResponseLimits.checkEcho(echoedBytes)
    let id = String(UInt64.random(in: 0 ... .max), radix: 36)
    let head = ResponseHead(
      id: prefix + id, created: Self.now, model: models[0], fingerprint: fingerprint,
      chunksHaveUsage: fields.includesUsage)
    var writer = ResponseWriter(formatter, head, sequences: sequences, perPrompt: fields.count)
    let request: RequestHandle
    do {
      request =
        isRehearsal
        ? try engine.rehearse(sequences, stopSequences: stopSequences)
        : try engine.submit(sequences, stopSequences: stopSequences, client: client)
    } catch {
      throw APIError(error)
    }
    guard fields.isStreamed else { return .json(try await writer.document(request)) }
    // A request that fails before its first event gets a status, and no events.
    var events = request.makeAsyncIterator()
    let first: RequestHandle.Element?
    do { first = try await events.next() } catch { throw APIError(error) }
    return .events(cancel: request.cancel) { [writer] write in
      var writer = writer
      try await writer.stream(request, first: first, to: write)
    }
  }

  private struct Model: Encodable {
    let id: String
    let object = "model"
    let created: Int
    let ownedBy = "swift-mglu"
    let maxLength: Int

    enum CodingKeys: String, CodingKey {
      case id
      case object
      case created
      case ownedBy = "owned_by"
      case maxLength = "max_model_len"
    }
  }

  private func description(_ name: String) -> Model {
    Model(id: name, created: created, maxLength: engine.contextLength)
  }

  /// `/v1/models`.
  package func modelList() -> Reply {
    struct List: Encodable {
      let object = "list"
      let data: [Model]
    }
    return .json(JSONBody.encode(List(data: models.map(description))))
  }

  /// `/v1/models/ID`, of an ID without escapes.
  package func modelInfo(_ id: String) throws(APIError) -> Reply {
    guard models.contains(id) else {
      throw .invalid(
        "The model `\(id)` does not exist", param: "model", code: "model_not_found", status: 404)
    }
    return .json(JSONBody.encode(description(id)))
  }

  /// `/health`.
  package func health() throws(APIError) -> Reply {
    switch engine.state {
    case .open where !rehearsal.isDue: return .json(#"{"status":"ok"}"#)
    case .open, .loading: throw .loading
    case .draining: throw .stopping
    case .impaired:
      throw .unhealthy("a device failed, and others go on; the server should be restarted")
    case .failed: throw .unhealthy("the device failed; the server must be restarted")
    }
  }

  /// `/metrics`.
  package func metrics() -> Reply {
    .body(
      engine.prometheusMetrics(model: models[0]), type: "text/plain; version=0.0.4; charset=utf-8")
  }

  /// Whether chats are written by a template of the model's own.
  package var hasTemplate: Bool { template.source != nil && template.problem == nil }
  var tokenizer: Tokenizer { engine.tokenizer }
  private var vocabularySize: Int { engine.configuration.vocabularySize }
  var spelling: TokenSpelling { TokenSpelling(tokenizer: tokenizer) }
}
