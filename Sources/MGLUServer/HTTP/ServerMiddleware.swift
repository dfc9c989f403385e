#if Server
  import Hummingbird

  /// Every error as a status and four fields, and nothing but a head for whoever asks for that.
  struct ErrorAnswers: RouterMiddleware {
    func handle(
      _ request: Request, context: ConnectionContext,
      next: (Request, ConnectionContext) async throws -> Response
    ) async throws -> Response {
      let response = await answer(request, context, next)
      return request.method == .head ? response.createHeadResponse() : response
    }

    private func answer(
      _ request: Request, _ context: ConnectionContext,
      _ next: (Request, ConnectionContext) async throws -> Response
    ) async -> Response {
      do { return try await next(request, context) } catch let error as APIError {
        return Self.response(error)
      } catch let error as HTTPError {
        return Self.response(Self.described(error, request))
      } catch is CancellationError {
        return Self.response(.stopping)
      } catch {
        return Self.response(.internalError("\(error)"))
      }
    }

    private static func described(_ error: HTTPError, _ request: Request) -> APIError {
      let status = error.status
      if status == .notFound {
        return .invalid(
          "\(request.method.rawValue) \(request.uri.path): no such address",
          code: "not_found", status: 404)
      }
      return APIError(
        status: status.code, message: error.body ?? status.reasonPhrase,
        type: status.code < 500 ? "invalid_request_error" : "server_error")
    }

    private static func response(_ error: APIError) -> Response {
      var response = JSONBody.encode(error).response(
        type: "application/json", status: .init(code: error.status))
      if let seconds = error.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
      if let allowed = error.allowed { response.headers[.allow] = allowed }
      if error == .bodyTimeout { response.headers[.connection] = "close" }
      if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
      return response
    }
  }

  /// Lets through who has the key.
  struct KeyCheck: RouterMiddleware {
    let settings: ServerSettings

    func handle(
      _ request: Request, context: ConnectionContext,
      next: (Request, ConnectionContext) async throws -> Response
    ) async throws -> Response {
      guard settings.admits(authorization: request.headers[.authorization]) else {
        throw APIError.unauthorized
      }
      return try await next(request, context)
    }
  }
#endif
