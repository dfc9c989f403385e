#if Server
  import Hummingbird

  /// Refuses requests without the server's API key, if it has one.
  struct BearerAuthMiddleware: RouterMiddleware {
    let settings: ServerSettings

    func handle(
      _ request: Request, context: ConnectionContext,
      next: (Request, ConnectionContext) async throws -> Response
    ) async throws -> Response {
      let key = request.headers.first { $0.name.canonicalName == "x-api-key" }?.value
      guard settings.admits(authorization: request.headers[.authorization], key: key) else {
        throw APIError.unauthorized
      }
      return try await next(request, context)
    }
  }
#endif
