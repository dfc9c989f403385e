#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// OpenAI's API over an engine: JSON in, JSON or events out, without HTTP.
public struct ServerAPI: Sendable {
  package let engine: Engine
  /// The name that clients see.
  let model: String
  let template: ChatTemplate
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

  /// The API of a model that `engine` runs and clients know as `model`.
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
    let sequences = try request.sequences(tokenizer, seed: .random(in: 0 ... .max))
    let count = sequences.count / request.prompts.count
    let echoes: [String]? =
      request.echoes
      ? request.prompts.flatMap { prompt in
        [String](repeating: prompt.echo(tokenizer), count: count)
      } : nil
    let formatter = CompletionFormatter(
      echoes: echoes, wantsLogprobs: request.logprobs != nil, spelling: spelling)
    return try await respond(
      sequences, request.fields, stopSequences: request.fields.stopSequences(), formatter,
      prefix: "cmpl-")
  }

  /// `/v1/chat/completions`.
  package func chat(_ body: [UInt8]) async throws(APIError) -> Reply {
    let request = try JSONBody.decode(ChatRequest.self, from: body)
    let sequences = try request.sequences(template, tokenizer, seed: .random(in: 0 ... .max))
    let formatter = ChatFormatter(
      topLogprobs: request.wantsLogprobs ? request.topLogprobs : nil, spelling: spelling)
    return try await respond(
      sequences, request.fields,
      stopSequences: request.fields.stopSequences() + template.stopSequences, formatter,
      prefix: "chatcmpl-")
  }

  private func respond(
    _ sequences: [GenerationRequest], _ fields: GenerationFields, stopSequences: [String],
    _ formatter: some ResponseFormatter, prefix: String
  ) async throws(APIError) -> Reply {
    let id = String(UInt64.random(in: 0 ... .max), radix: 36)
    let head = ResponseHead(
      id: prefix + id, created: Self.now, model: model, chunksHaveUsage: fields.includesUsage)
    var writer = ResponseWriter(formatter, head, sequences: sequences)
    let request: RequestHandle
    do { request = try engine.submit(sequences, stopSequences: stopSequences) } catch {
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

  private var description: Model {
    Model(id: model, created: created, maxLength: engine.contextLength)
  }

  /// `/v1/models`.
  package func models() -> Reply {
    struct List: Encodable {
      let object = "list"
      let data: [Model]
    }
    return .json(JSONBody.encode(List(data: [description])))
  }

  /// `/v1/models/ID`. Every id means the model.
  package func modelInfo() -> Reply { .json(JSONBody.encode(description)) }

  /// `/health`.
  package func health() throws(APIError) -> Reply {
    switch engine.state {
    case .open: return .json(#"{"status":"ok"}"#)
    case .loading: throw .loading
    case .draining: throw .stopping
    case .failed:
      var error = APIError.internalError("the device failed; the server must be restarted")
      error.status = 503
      throw error
    }
  }

  /// `/metrics`.
  package func metrics() -> Reply {
    .body(engine.prometheusMetrics(model: model), type: "text/plain; version=0.0.4; charset=utf-8")
  }

  var tokenizer: Tokenizer { engine.tokenizer }
  private var spelling: TokenSpelling { TokenSpelling(tokenizer: tokenizer) }
}
