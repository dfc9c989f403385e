/// Why a request fails: an HTTP status and the four fields of OpenAI's errors, which are always sent.
package struct APIError: Error, Sendable, Equatable {
  package var status: Int
  package var message: String
  package var type: String
  package var param: String?
  package var code: String?
  /// After how many seconds the client may try again.
  package var retryAfter: Int?

  /// An error of a status that has no case of its own.
  package init(
    status: Int, message: String, type: String, param: String? = nil, code: String? = nil,
    retryAfter: Int? = nil
  ) {
    self.status = status
    self.message = message
    self.type = type
    self.param = param
    self.code = code
    self.retryAfter = retryAfter
  }

  /// The request itself is wrong.
  package static func invalid(
    _ message: String, param: String? = nil, code: String? = nil, status: Int = 400
  ) -> APIError {
    APIError(
      status: status, message: message, type: "invalid_request_error", param: param, code: code)
  }

  package static func internalError(_ message: String) -> APIError {
    APIError(status: 500, message: message, type: "server_error", code: "internal_error")
  }

  /// A device has failed; the message says what the operator can do.
  package static func unhealthy(_ message: String) -> APIError {
    APIError(status: 503, message: message, type: "server_error", code: "internal_error")
  }

  /// A prompt is longer than the model's context. Clients know the error by its code, or by these words.
  package static func contextLength(limit: Int, found: Int, field: String) -> APIError {
    .invalid(
      "This model's maximum context length is \(limit) tokens. However, your \(field) resulted in "
        + "\(found) tokens. Please reduce the length of the \(field).",
      param: field, code: "context_length_exceeded")
  }

  package static let queueFull = APIError(
    status: 429, message: "too many requests wait; try again in a moment",
    type: "rate_limit_error", code: "queue_full", retryAfter: 1)
  package static let stopping = APIError(
    status: 503, message: "the server is stopping", type: "server_error", code: "stopping",
    retryAfter: 5)
  package static let loading = APIError(
    status: 503, message: "the server is starting", type: "server_error", code: "loading",
    retryAfter: 1)
  package static let timeout = APIError(
    status: 504, message: "the request took longer than this server allows",
    type: "server_error", code: "timeout")
}

extension APIError {
  /// How the API reports an error of the engine.
  package init(_ error: ServingError) {
    switch error.code {
    case .emptyPrompt, .tokenID: self = .invalid(error.description, param: "prompt")
    case .contextLength:
      self = .invalid(error.description, param: "prompt", code: "context_length_exceeded")
    case .sampling: self = .invalid(error.description)
    case .queueFull: self = .queueFull
    case .draining: self = .stopping
    case .timeout: self = .timeout
    // Remedies are for the operator of the server.
    case .notFinite, .device, .memory, .settings: self = .internalError(error.message)
    }
  }
}

extension APIError: Encodable {
  private enum Outer: CodingKey { case error }
  private enum Field: CodingKey { case message, type, param, code }

  package func encode(to encoder: any Encoder) throws {
    var outer = encoder.container(keyedBy: Outer.self)
    var fields = outer.nestedContainer(keyedBy: Field.self, forKey: .error)
    try fields.encode(message, forKey: .message)
    try fields.encode(type, forKey: .type)
    try fields.encode(param, forKey: .param)
    try fields.encode(code, forKey: .code)
  }
}
