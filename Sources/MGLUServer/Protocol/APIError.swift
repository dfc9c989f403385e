/// What a client is told when its request cannot be served: a status and the four fields of
/// OpenAI's errors, all of them always there.
package struct APIError: Error, Sendable, Equatable {
  package var status: Int
  package var message: String
  package var type: String
  package var param: String?
  package var code: String?
  /// After how many seconds it makes sense to come again.
  package var retryAfter: Int?
  /// The methods that there are where another was tried.
  package var allowed: String?

  /// A request that is wrong in itself.
  static func invalid(
    _ message: String, param: String? = nil, code: String? = nil, status: Int = 400
  ) -> APIError {
    APIError(
      status: status, message: message, type: "invalid_request_error", param: param, code: code)
  }

  static func contextExceeded(found: Int, most: Int) -> APIError {
    invalid(
      "the prompt has \(found) tokens: this server reads at most \(most); shorten it",
      param: "prompt", code: "context_length_exceeded")
  }

  static func tooLarge(most: Int) -> APIError {
    invalid("the body is larger than \(most) bytes", code: "request_too_large", status: 413)
  }

  static func wrongMethod(_ method: String, _ path: String, allowed: String) -> APIError {
    var error = invalid(
      "\(method) \(path): expected \(allowed)", code: "method_not_allowed", status: 405)
    error.allowed = allowed
    return error
  }

  /// The connection is not read any further.
  static let bodyTimeout = invalid(
    "the rest of the body did not come in time; send it anew, faster or in smaller requests",
    code: "request_timeout", status: 408)

  static let unauthorized = APIError(
    status: 401, message: "the API key is missing or wrong; send it as Authorization: Bearer KEY",
    type: "authentication_error", code: "invalid_api_key")
  package static let queueFull = APIError(
    status: 429, message: "too many requests wait; come again in a moment",
    type: "rate_limit_error", code: "queue_full", retryAfter: 1)
  package static let stopping = APIError(
    status: 503, message: "the server is stopping", type: "server_error", code: "stopping",
    retryAfter: 5)
  static let deviceFailed = internalError("the device failed; the server must be restarted")
  package static let timeout = APIError(
    status: 504, message: "the request took longer than this server allows",
    type: "server_error", code: "timeout")

  static func internalError(_ message: String) -> APIError {
    APIError(status: 500, message: message, type: "server_error", code: "internal_error")
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
