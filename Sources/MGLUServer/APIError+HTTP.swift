#if Server
  /// Errors of HTTP in the form of the API's errors.
  extension APIError {
    static func tooLarge(limit: Int) -> APIError {
      .invalid("the body is larger than \(limit) bytes", code: "request_too_large", status: 413)
    }

    /// The server reads nothing more from the connection.
    static let bodyTimeout = APIError.invalid(
      "the rest of the body did not come in time; send it anew, faster or in smaller requests",
      code: "request_timeout", status: 408)

    static let unauthorized = APIError(
      status: 401,
      message: "the API key is missing or wrong; send it as Authorization: Bearer KEY",
      type: "authentication_error", code: "invalid_api_key")
  }
#endif
