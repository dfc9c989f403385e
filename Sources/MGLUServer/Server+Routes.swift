#if Server
  import Hummingbird
  import NIOCore

  extension Server {
    /// All routes.
    func router() -> Hummingbird.Router<ConnectionContext> {
      let api = api
      let router = Hummingbird.Router(
        context: ConnectionContext.self, options: .autoGenerateHeadEndpoints)
      router.add(middleware: ErrorMiddleware())
      let page = TrialPage.html(needsKey: settings.apiKey != nil)
      router.only(.get, "/") { _, _ in .body(page, type: "text/html; charset=utf-8") }
      router.only(.get, "health") { _, _ in try api.health() }
      let guarded = router.group().add(middleware: BearerAuthMiddleware(settings: settings))
      guarded.only(.get, "metrics") { _, _ in api.metrics() }
      guarded.only(.get, "v1/models") { _, _ in api.models() }
      guarded.only(.get, "v1/models/:id") { _, _ in api.modelInfo() }
      guarded.only(.get, "tokenizer_info") { _, _ in api.tokenizerInfo() }
      guarded.only(.post, "tokenize") { request, _ in
        try api.tokenize(try await body(of: request))
      }
      guarded.only(.post, "detokenize") { request, _ in
        try api.detokenize(try await body(of: request))
      }
      guarded.only(.post, "v1/completions") { request, context in
        try await generate(request, context.channel) { body throws(APIError) in
          try await api.completions(body)
        }
      }
      guarded.only(.post, "v1/chat/completions") { request, context in
        try await generate(request, context.channel) { body throws(APIError) in
          try await api.chat(body)
        }
      }
      return router
    }

    /// The bytes of a request's body. Of a body that is too large the server still reads some more:
    /// a client that is writing does not see the error yet.
    private func body(of request: Request) async throws -> [UInt8] {
      var bytes: [UInt8] = []
      var count = 0
      do {
        for try await part in request.body {
          count += part.readableBytes
          if count <= settings.maxBytes { bytes += part.readableBytesView }
          if count > 16 * settings.maxBytes { break }
        }
      } catch let error as APIError {
        throw error
      } catch {
        throw APIError.invalid("the body cannot be read: \(error)")
      }
      guard count <= settings.maxBytes else { throw APIError.tooLarge(limit: settings.maxBytes) }
      return bytes
    }

    /// A reply that takes long to compute. The computation is canceled when the client disconnects.
    private func generate(
      _ request: Request, _ channel: any Channel,
      _ reply: @escaping @Sendable ([UInt8]) async throws(APIError) -> ServerAPI.Reply
    ) async throws -> ServerAPI.Reply {
      let bytes = try await body(of: request)
      return try await ConnectionTimeoutHandler.value(
        of: Task { try await reply(bytes) }, forClientOf: channel)
    }
  }

  extension RouterMethods where Context == ConnectionContext {
    /// Adds a route for one method. Other methods at its path are an error that names the allowed one.
    fileprivate func only(
      _ method: HTTPRequest.Method, _ path: RouterPath,
      use handler: @Sendable @escaping (Request, Context) async throws -> ServerAPI.Reply
    ) {
      on(path, method: method) { request, context in
        try await handler(request, context).response(forClientOf: context.channel)
      }
      let allowed = method == .get ? "GET, HEAD" : method.rawValue
      let methods: [HTTPRequest.Method] = [
        .get, .post, .put, .patch, .delete, .options, .trace, .connect,
      ]
      for other in methods where other != method {
        on(path, method: other) { request, _ -> Response in
          throw HTTPError(
            .methodNotAllowed, headers: [.allow: allowed],
            message: "\(request.method.rawValue) \(request.uri.path): expected \(allowed)")
        }
      }
    }
  }

  /// A request's context, with its connection.
  struct ConnectionContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
      coreContext = .init(source: source)
      channel = source.channel
    }
  }
#endif
