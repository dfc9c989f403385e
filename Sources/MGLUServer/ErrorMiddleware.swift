#if Server
  import Hummingbird

  /// Makes responses of errors. Removes the body from responses to HEAD.
  struct ErrorMiddleware: RouterMiddleware {
    func handle(
      _ request: Request, context: ConnectionContext,
      next: (Request, ConnectionContext) async throws -> Response
    ) async throws -> Response {
      let response = await respond(request, context, next)
      return request.method == .head ? response.createHeadResponse() : response
    }

    private func respond(
      _ request: Request, _ context: ConnectionContext,
      _ next: (Request, ConnectionContext) async throws -> Response
    ) async -> Response {
      do { return try await next(request, context) } catch let error as APIError {
        return Self.response(error)
      } catch let error as HTTPError {
        var response = Self.response(Self.apiError(error, request))
        response.headers.append(contentsOf: error.headers)
        return response
      } catch is CancellationError {
        return Self.response(.stopping)
      } catch {
        return Self.response(.internalError("\(error)"))
      }
    }

    /// The API's error for one of HTTP, which the router or a route throws.
    private static func apiError(_ error: HTTPError, _ request: Request) -> APIError {
      let status = error.status
      switch status {
      case .notFound:
        return .invalid(
          "\(request.method.rawValue) \(request.uri.path): no such address",
          code: "not_found", status: 404)
      case .methodNotAllowed:
        return .invalid(error.body ?? "", code: "method_not_allowed", status: 405)
      default:
        return APIError(
          status: status.code, message: error.body ?? status.reasonPhrase,
          type: status.code < 500 ? "invalid_request_error" : "server_error")
      }
    }

    static func response(_ error: APIError) -> Response {
      var response = JSONBody.encode(error).response(
        type: "application/json", status: .init(code: error.status))
      if let seconds = error.retryAfter { response.headers[.retryAfter] = "\(seconds)" }
      if error == .bodyTimeout { response.headers[.connection] = "close" }
      if error.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
      return response
    }
  }
#endif
