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

  /// The HTTP server: brings requests to a `ServerAPI` and its responses back.
  public struct Server: Sendable {
    let api: ServerAPI
    let settings: ServerSettings

    /// A server of `api`.
    public init(_ api: ServerAPI, settings: ServerSettings = .init()) throws(ServerError) {
      try settings.validate()
      self.api = api
      self.settings = settings
    }

    /// Serves until the process gets SIGTERM or SIGINT, or the task is canceled. Then closes
    /// connections that have not sent a whole request, and finishes all other requests. The engine is drained
    /// when it returns or throws: another server needs another engine.
    ///
    /// - Parameter onStart: Receives the port when the server accepts connections.
    public func run(onStart: @escaping @Sendable (_ port: Int) -> Void = { _ in }) async throws {
      // 34 years are as good as no limit, and sums of them do not overflow.
      let timeLimit = min(api.engine.settings.timeLimit, .seconds(1 << 30))
      let clientTimeout = min(settings.clientTimeout, timeLimit)
      let halfClosedTime = settings.halfClosedTime
      var application = Application(
        router: router(),
        server: .http1(
          configuration: .init(
            additionalChannelHandlers: [
              HTTPVersionHandler.Installer(),
              ConnectionTimeoutHandler(
                clientTimeout: clientTimeout, timeLimit: timeLimit,
                halfClosedTime: halfClosedTime),
            ])),
        configuration: .init(
          address: .hostname(settings.host, port: settings.port), serverName: "mglu"),
        onServerRunning: { onStart($0.localAddress?.port ?? settings.port) })
      application.logger.logLevel = .error
      var configuration = ServiceGroupConfiguration(
        services: [EngineService(engine: api.engine), application],
        gracefulShutdownSignals: settings.handlesSignals ? [.sigterm, .sigint] : [],
        logger: application.logger)
      configuration.maximumGracefulShutdownDuration = timeLimit
      let actions = settings.handlesSignals ? [SIGTERM, SIGINT].map(SignalAction.init) : []
      defer { for action in actions { action.restore() } }
      let group = ServiceGroup(configuration: configuration)
      // In a task of its own: canceling it would cut off responses, and close the listener twice.
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
          remedy: "choose another host or port")
      }
    }
  }

  /// What the process does on a signal.
  private struct SignalAction {
    private let signal: Int32
    private let action: sigaction

    init(of signal: Int32) {
      var found = sigaction()
      sigaction(signal, nil, &found)
      (self.signal, action) = (signal, found)
    }

    func restore() {
      var action = action
      sigaction(signal, &action, nil)
    }
  }

  /// Ends the engine when the server has ended.
  private struct EngineService: Service {
    let engine: Engine

    func run() async throws {
      try? await gracefulShutdown()
      engine.drain()
      await engine.waitUntilEnded()
    }
  }
#endif
