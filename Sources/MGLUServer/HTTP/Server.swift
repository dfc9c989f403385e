#if Server
  import Hummingbird
  import Logging
  import NIOCore
  import ServiceLifecycle

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #else
    import Darwin
  #endif

  /// The HTTP server: it brings requests to a ``ServerAPI`` and its answers back.
  public struct Server: Sendable {
    let api: ServerAPI
    let settings: ServerSettings

    /// A server of `api`.
    public init(_ api: ServerAPI, settings: ServerSettings = .init()) throws(ServerError) {
      try settings.validate()
      self.api = api
      self.settings = settings
    }

    /// Serves until the process is asked to end, or the task is cancelled; then finishes what was
    /// begun: requests that have come in full. Other connections are closed.
    ///
    /// - Parameter onStart: Is told the port once requests are taken.
    public func run(onStart: @escaping @Sendable (_ port: Int) -> Void = { _ in }) async throws {
      // As good as for ever, and no sum of them overflows.
      let timeLimit = min(api.engine.settings.timeLimit, .seconds(1 << 30))
      let patience = min(settings.patience, timeLimit)
      var application = Application(
        router: router(),
        server: .http1(
          configuration: .init(
            additionalChannelHandlers: [ClientWatch(patience: patience, timeLimit: timeLimit)])),
        configuration: .init(
          address: .hostname(settings.host, port: settings.port), serverName: "mglu"),
        onServerRunning: { onStart($0.localAddress?.port ?? settings.port) })
      application.logger.logLevel = .error
      var configuration = ServiceGroupConfiguration(
        services: [EngineService(engine: api.engine), application],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: application.logger)
      configuration.maximumGracefulShutdownDuration = timeLimit
      let group = ServiceGroup(configuration: configuration)
      // In a task of its own: canceling it would cut off answers, and close the listener twice.
      let serving = Task { try await group.run() }
      do {
        try await withTaskCancellationHandler {
          try await serving.value
        } onCancel: {
          Task { await group.triggerGracefulShutdown() }
        }
      } catch {
        let reason =
          (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
        throw ServerError(
          .address, "cannot serve on \(settings.host), port \(settings.port): \(reason)",
          remedy: "choose another --host or --port")
      }
    }

    /// All routes.
    func router() -> Hummingbird.Router<ConnectionContext> {
      let api = api
      let router = Hummingbird.Router(
        context: ConnectionContext.self, options: .autoGenerateHeadEndpoints)
      router.add(middleware: ErrorAnswers())
      let page = TrialPage.html(needsKey: settings.apiKey != nil)
      router.only(.get, "/") { _, _ in .text(page, type: "text/html; charset=utf-8") }
      router.only(.get, "health") { _, _ in try api.health() }
      let guarded = router.group().add(middleware: KeyCheck(settings: settings))
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
        try await generated(request, context.channel) { body throws(APIError) in
          try await api.completions(body)
        }
      }
      guarded.only(.post, "v1/chat/completions") { request, context in
        try await generated(request, context.channel) { body throws(APIError) in
          try await api.chat(body)
        }
      }
      return router
    }

    /// The bytes of a request's body. One that is too large is read on for a while, so that its
    /// sender gets to hear of it.
    private func body(of request: Request) async throws -> [UInt8] {
      var bytes: [UInt8] = []
      var count = 0
      do {
        for try await part in request.body {
          count += part.readableBytes
          if count <= settings.mostBytes { bytes += part.readableBytesView }
          if count > 16 * settings.mostBytes { break }
        }
      } catch let error as APIError {
        throw error
      } catch {
        throw APIError.invalid("the body cannot be read: \(error)")
      }
      guard count <= settings.mostBytes else { throw APIError.tooLarge(most: settings.mostBytes) }
      return bytes
    }

    /// An answer that takes its time, and is given up when the client goes.
    private func generated(
      _ request: Request, _ channel: any Channel,
      _ answer: @escaping @Sendable ([UInt8]) async throws(APIError) -> ServerAPI.Reply
    ) async throws -> ServerAPI.Reply {
      let bytes = try await body(of: request)
      return try await ClientWatch.value(
        of: Task { try await answer(bytes) }, forClientOf: channel)
    }

    /// A reply to the client of `channel`.
    fileprivate static func response(
      _ reply: ServerAPI.Reply, forClientOf channel: any Channel
    ) -> Response {
      switch reply {
      case .json(let text): text.response(type: "application/json")
      case .text(let text, let type): text.response(type: type)
      case .events(let cancel, let send):
        Response(
          status: .ok,
          headers: [
            .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache",
          ],
          body: .init { writer in
            try await ClientWatch.run(forClientOf: channel, cancel: cancel) {
              try await send { try await writer.write(piecesOf: $0) }
            }
            try await writer.finish(nil)
          })
      }
    }
  }

  extension RouterMethods where Context == ConnectionContext {
    /// A route, and at its address a refusal of all methods but its own.
    fileprivate func only(
      _ method: HTTPRequest.Method, _ path: RouterPath,
      use handler: @Sendable @escaping (Request, Context) async throws -> ServerAPI.Reply
    ) {
      on(path, method: method) { request, context in
        Server.response(try await handler(request, context), forClientOf: context.channel)
      }
      let allowed = method == .get ? "GET, HEAD" : method.rawValue
      let methods: [HTTPRequest.Method] = [
        .get, .post, .put, .patch, .delete, .options, .trace, .connect,
      ]
      for other in methods where other != method {
        on(path, method: other) { request, _ -> Response in
          throw APIError.wrongMethod(
            request.method.rawValue, request.uri.path, allowed: allowed)
        }
      }
    }
  }

  /// A request's context, and the connection that it came by.
  struct ConnectionContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
      coreContext = .init(source: source)
      channel = source.channel
    }
  }

  extension String {
    func response(type: String, status: HTTPResponse.Status = .ok) -> Response {
      let buffer = ByteBuffer(string: self)
      return Response(
        status: status, headers: [.contentType: type],
        body: buffer.readableBytes <= Self.pieceLength
          ? .init(byteBuffer: buffer)
          : .init(contentLength: buffer.readableBytes) { writer in
            try await writer.write(piecesOf: self)
            try await writer.finish(nil)
          })
    }

    /// Bytes that a connection is given at once.
    fileprivate static let pieceLength = 1 << 16
  }

  extension ResponseBodyWriter {
    /// Writes `text` no faster than it is read: the connection holds little of it, and it is seen
    /// when a client does not read.
    fileprivate mutating func write(piecesOf text: String) async throws {
      var rest = ByteBuffer(string: text)
      while rest.readableBytes > 0 {
        let length = min(rest.readableBytes, String.pieceLength)
        if let piece = rest.readSlice(length: length) { try await write(piece) }
      }
    }
  }

  /// Lets the engine finish what it has taken once the server has ended.
  private struct EngineService: Service {
    let engine: Engine

    func run() async throws {
      try? await gracefulShutdown()
      engine.drain()
    }
  }
#endif
