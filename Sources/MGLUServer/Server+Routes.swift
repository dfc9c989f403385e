#if Server
  import Hummingbird
  import NIOCore
  import NIOHTTPTypes

  extension Server {
    /// All routes.
    func router() -> Hummingbird.Router<ConnectionContext> {
      let api = api
      let router = Hummingbird.Router(
        context: ConnectionContext.self, options: .autoGenerateHeadEndpoints)
      router.add(middleware: OriginMiddleware(settings: settings))
      router.add(middleware: ErrorMiddleware())
      let page = TrialPage.html(
        needsKey: settings.apiKey != nil, chats: api.hasTemplate)
      router.only(.get, "/") { _, _ in .body(page, type: "text/html; charset=utf-8") }
      router.only(.get, "health") { _, _ in try api.health() }
      let guarded = router.group().add(middleware: BearerAuthMiddleware(settings: settings))
      guarded.only(.get, "metrics") { _, _ in api.metrics() }
      guarded.only(.get, "tokenizer_info") { _, _ in api.tokenizerInfo() }
      guarded.only(.post, "tokenize") { request, context in
        try await api.tokenize(try await body(of: request, context.channel))
      }
      guarded.only(.post, "detokenize") { request, context in
        try await api.detokenize(try await body(of: request, context.channel))
      }
      // Some clients are given the address with /v1, some without.
      for version in ["v1/", ""] {
        guarded.only(.get, "\(version)models") { _, _ in api.modelList() }
        guarded.only(.get, "\(version)models/**") { _, context in
          try api.modelInfo(
            Self.unescaped(context.parameters.getCatchAll().joined(separator: "/")))
        }
        guarded.only(.post, "\(version)completions") { request, context in
          try await generate(request, context.channel) { body, client throws(APIError) in
            try await api.completions(body, client: client)
          }
        }
        guarded.only(.post, "\(version)chat/completions") { request, context in
          try await generate(request, context.channel) { body, client throws(APIError) in
            try await api.chat(body, client: client)
          }
        }
      }
      return router
    }

    /// The bytes of a request's body. Of a body that is too large the server still reads some more:
    /// a client that is writing does not see the error yet.
    private func body(of request: Request, _ channel: any Channel) async throws -> [UInt8] {
      try Self.checkMediaType(request)
      if let expectation = request.headers[.expect] {
        guard expectation.lowercased() == "100-continue" else { throw APIError.expectation }
        let count = request.headers[.contentLength].flatMap { Int($0) } ?? 0
        guard count <= settings.maxBytes else { throw APIError.tooLarge(limit: settings.maxBytes) }
        try await channel.writeAndFlush(HTTPResponsePart.head(.init(status: .continue)))
      }
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

    /// A part of an address without its escapes, which are hexadecimal digits of bytes.
    private static func unescaped(_ text: String) -> String {
      let parts = text.split(separator: "%", omittingEmptySubsequences: false)
      var bytes = Array(parts[0].utf8)
      for part in parts.dropFirst() {
        if let byte = UInt8(part.prefix(2), radix: 16), part.utf8.count >= 2 {
          bytes.append(byte)
          bytes += part.utf8.dropFirst(2)
        } else {
          bytes += ("%" + part).utf8
        }
      }
      return String(decoding: bytes, as: UTF8.self)
    }

    /// Throws where a body says that it is no plain JSON. Forms and texts are what web pages may send
    /// anywhere without asking.
    private static func checkMediaType(_ request: Request) throws(APIError) {
      if let type = request.headers[.contentType] {
        let name = type.prefix { $0 != ";" }.filter { $0 != " " }.lowercased()
        guard name == "application/json" else { throw .mediaType(String(type.prefix(100))) }
      }
      if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" {
        throw .mediaType("encoded as \(encoding.prefix(100))")
      }
    }

    /// A reply that takes long to compute. The computation is canceled when the client disconnects.
    private func generate(
      _ request: Request, _ channel: any Channel,
      _ reply:
        @escaping @Sendable ([UInt8], _ client: String) async throws(APIError) -> ServerAPI.Reply
    ) async throws -> ServerAPI.Reply {
      let bytes = try await body(of: request, channel)
      // The server may have read several requests before the client was gone.
      guard channel.isActive else { throw CancellationError() }
      let client = channel.remoteAddress?.ipAddress ?? ""
      return try await ConnectionTimeoutHandler.value(
        of: Task { try await reply(bytes, client) }, forClientOf: channel)
    }
  }

  extension RouterMethods where Context == ConnectionContext {
    /// Adds a route for one method. Other methods at its path are an error that names the allowed one.
    fileprivate func only(
      _ method: HTTPRequest.Method, _ path: String,
      use handler: @Sendable @escaping (Request, Context) async throws -> ServerAPI.Reply
    ) {
      let path = RouterPath(path)
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
