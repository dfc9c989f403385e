#if Server
  import NIOCore
  import NIOHTTPTypes

  /// The timeouts of one connection, and the cancellation of its client's request.
  ///
  /// The server waits for a client in three places: for its next request, for the rest of a body, and
  /// for it to read a response. The client timeout limits each of them. A response as a whole must be
  /// sent within the time limit of its computation and one client timeout, however steadily the client
  /// reads. Requests that come before the last response is sent have no timeout: the server does not
  /// read them yet.
  ///
  /// The computation for a client is canceled as soon as the client disconnects. The handler does that
  /// itself, on the connection's thread, because tasks may be busy. (Hummingbird's own observation of
  /// the inbound side (2.28.1) traps if the body was read before and the client closes.)
  ///
  /// A client that only ends its own side gets the response to a request it has sent. From here it
  /// looks like one that is gone: a computation goes on for `halfClosedTime`, or until a write fails
  /// once a response is begun.
  final class ConnectionTimeoutHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// The event that the connection waits for.
    private enum Phase {
      /// The next request, or the rest of its head.
      case request
      /// The rest of a body.
      case body
      /// The server's response.
      case response
      /// The client, to read the response.
      case reading
    }

    private let clientTimeout: TimeAmount
    private let responseTimeout: TimeAmount
    private let halfClosedTime: TimeAmount
    private var phase: Phase?
    private var timer: Scheduled<Void>?
    /// When the current response must be sent.
    private var responseDeadline: NIODeadline?
    /// The number of requests whose heads have arrived and whose responses are not sent.
    private var pendingResponses = 0
    /// Whether the end of the last request has not arrived.
    private var isReceiving = false
    private var isStopping = false
    /// Whether the client has ended its side.
    private var isHalfClosed = false
    /// Whether the head of the current response is written.
    private var hasBegunResponse = false
    /// Cancels the computation for the client.
    private var cancel: (() -> Void)?

    /// A handler that waits `clientTimeout` for a client, and a quarter longer for its next request.
    /// A response takes at most `timeLimit` to compute. The sums of both must not overflow.
    init(clientTimeout: Duration, timeLimit: Duration, halfClosedTime: Duration) {
      self.halfClosedTime = TimeAmount(halfClosedTime)
      self.clientTimeout = TimeAmount(clientTimeout)
      responseTimeout = TimeAmount(timeLimit) + self.clientTimeout
    }

    /// Runs `body`. Calls `cancel` on the connection's thread if the client of `channel` disconnects
    /// meanwhile, or has disconnected before.
    static func run<Value>(
      forClientOf channel: any Channel, cancel: @escaping @Sendable () -> Void,
      _ body: () async throws -> Value
    ) async throws -> Value {
      @Sendable func onDisconnect(_ action: (@Sendable () -> Void)?) {
        channel.eventLoop.execute {
          // A closed channel has no handlers.
          let handler = try? channel.pipeline.syncOperations.handler(
            type: ConnectionTimeoutHandler.self)
          if let handler { handler.cancel = action } else { cancel() }
        }
      }
      onDisconnect(cancel)
      defer { onDisconnect(nil) }
      return try await body()
    }

    /// The value of `task`, which is canceled if the client of `channel` disconnects before.
    static func value<Value: Sendable>(
      of task: Task<Value, any Error>, forClientOf channel: any Channel
    ) async throws -> Value {
      try await run(forClientOf: channel, cancel: { task.cancel() }) {
        try await withTaskCancellationHandler {
          try await task.value
        } onCancel: {
          task.cancel()
        }
      }
    }

    func handlerAdded(context: ChannelHandlerContext) {
      if context.channel.isActive { update(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
      update(context)
      context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
      cancel?()
      context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
      timer?.cancel()
      cancel?()
      cancel = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      switch unwrapInboundIn(data) {
      case .head: (pendingResponses, isReceiving) = (pendingResponses + 1, true)
      case .body: break
      case .end: isReceiving = false
      }
      update(context)
      context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      guard case .end = unwrapOutboundIn(data) else {
        if case .head(let head) = unwrapOutboundIn(data) {
          hasBegunResponse = head.status.kind != .informational
        }
        return context.write(data, promise: promise)
      }
      hasBegunResponse = false
      // A response is sent when the operating system has accepted its last bytes.
      let sent = promise ?? context.eventLoop.makePromise()
      sent.futureResult.assumeIsolated().whenSuccess {
        self.pendingResponses = max(0, self.pendingResponses - 1)
        (self.responseDeadline, self.phase) = (nil, nil)
        if self.isHalfClosed, self.pendingResponses == 0 { return context.close(promise: nil) }
        self.update(context)
      }
      context.write(data, promise: sent)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
      update(context)
      context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event as? ChannelEvent == .inputClosed {
        endInput(context)
      } else if event is ChannelShouldQuiesceEvent {
        // Hummingbird must not see the event: it would close before everything is sent.
        (isStopping, phase) = (true, nil)
        update(context)
      } else {
        context.fireUserInboundEventTriggered(event)
      }
    }

    /// Finishes the response to a client that sends nothing more.
    private func endInput(_ context: ChannelHandlerContext) {
      guard pendingResponses == 1, !isReceiving else { return context.close(promise: nil) }
      isHalfClosed = true
      context.eventLoop.assumeIsolated().scheduleTask(in: halfClosedTime) {
        if !self.hasBegunResponse, self.cancel != nil { context.close(promise: nil) }
      }
      context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    }

    /// Finds the current phase, and sets its timer if the phase has changed.
    private func update(_ context: ChannelHandlerContext) {
      let next: Phase =
        switch (pendingResponses, isReceiving) {
        case _ where !context.channel.isWritable: .reading
        case (0, _): .request
        case (1, true): .body
        default: .response
        }
      guard next != phase else { return }
      phase = next
      timer?.cancel()
      if isStopping, next == .request || next == .body { return endWaiting(context) }
      let now = NIODeadline.now()
      if next == .response, responseDeadline == nil { responseDeadline = now + responseTimeout }
      let deadline =
        switch next {
        case .request: now + .nanoseconds(clientTimeout.nanoseconds / 4 * 5)
        case .body: now + clientTimeout
        case .response: responseDeadline ?? .distantFuture
        case .reading: min(now + clientTimeout, responseDeadline ?? .distantFuture)
        }
      timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
        self.endWaiting(context)
      }
    }

    /// Closes the connection, or, amid a body, sends an error before.
    private func endWaiting(_ context: ChannelHandlerContext) {
      guard phase == .body else { return context.close(promise: nil) }
      // The route that reads the body throws this error. Nothing more is read from the connection.
      context.fireErrorCaught(isStopping ? APIError.stopping : .bodyTimeout)
    }
  }
#endif
