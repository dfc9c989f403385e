#if Server
  /// Errors of HTTP in the form of the API's errors.
  extension APIError {
    static func tooLarge(limit: Int) -> APIError {
      .invalid("the body is larger than \(limit) bytes", code: "request_too_large", status: 413)
    }

    /// The body is something else than plain JSON.
    static func mediaType(_ found: String) -> APIError {
      .invalid(
        "the body is \(found): send JSON as Content-Type: application/json",
        code: "unsupported_media_type", status: 415)
    }

    static let expectation = APIError.invalid(
      "Expect: only 100-continue can be expected", code: "expectation_failed", status: 417)

    /// A name that a web page of an attacker may have given this machine.
    static func host(_ name: String) -> APIError {
      APIError(
        status: 403,
        message: "this server does not go by the name \(name); its operator allows names with "
          + "--allow-host, or requires a key",
        type: "permission_error", code: "host_not_allowed")
    }

    static func origin(_ origin: String) -> APIError {
      APIError(
        status: 403,
        message: "web pages of \(origin) may not use this server; its operator allows them with "
          + "--cors-origin",
        type: "permission_error", code: "origin_not_allowed")
    }

    /// The server reads nothing more from the connection.
    static let bodyTimeout = APIError.invalid(
      "the rest of the body did not come in time; send it anew, faster or in smaller requests",
      code: "request_timeout", status: 408)

    static let unauthorized = APIError(
      status: 401,
      message:
        "the API key is missing or wrong; send it as Authorization: Bearer KEY, or as X-Api-Key: KEY",
      type: "authentication_error", code: "invalid_api_key")
  }
#endif
