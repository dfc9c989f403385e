#if Server
  import Hummingbird

  /// Refuses requests of web pages that may not use this server, and tells browsers which may (CORS).
  struct OriginMiddleware: RouterMiddleware {
    let settings: ServerSettings

    func handle(
      _ request: Request, context: ConnectionContext,
      next: (Request, ConnectionContext) async throws -> Response
    ) async throws -> Response {
      let host = request.head.authority
      guard settings.admits(host: host) else {
        return ErrorMiddleware.response(.host(host ?? ""))
      }
      guard let origin = request.headers[.origin] else { return try await next(request, context) }
      guard settings.admits(origin: origin, host: host) else {
        return ErrorMiddleware.response(.origin(origin))
      }
      let isPreflight =
        request.method == .options && request.headers[.accessControlRequestMethod] != nil
      var response =
        isPreflight ? preflight(request) : try await next(request, context)
      response.headers[.accessControlAllowOrigin] = origin
      response.headers.append(.init(name: .vary, value: "Origin"))
      response.headers[.accessControlExposeHeaders] = "Retry-After"
      return response
    }

    /// Browsers ask before they send requests with JSON or a key.
    private func preflight(_ request: Request) -> Response {
      var response = Response(status: .noContent)
      response.headers[.accessControlAllowMethods] = "GET, HEAD, POST"
      response.headers[.accessControlAllowHeaders] =
        request.headers[.accessControlRequestHeaders] ?? "Authorization, Content-Type, X-Api-Key"
      response.headers[.accessControlMaxAge] = "600"
      return response
    }
  }
#endif
