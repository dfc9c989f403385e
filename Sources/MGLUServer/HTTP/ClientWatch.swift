#if Server
  import NIOCore
  import NIOHTTPTypes

  /// Watches over one connection: ends what is computed for a client that has gone, and gives up a
  /// client that lets the server wait.
  ///
  /// Three things are waited for: the next request, the rest of a body, and that what was written is
  /// read. However fast it is read, an answer is sent within the time that computing it may take and
  /// the patience for a client. Requests behind one that is not answered yet may take their time:
  /// the server does not read on then.
  final class ClientWatch: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// What happens next.
    private enum Turn { case request, body, answer, reading }

    private let patience: TimeAmount
    private let answerLimit: TimeAmount
    private var turn: Turn?
    private var timer: Scheduled<Void>?
    /// When the answer must be sent.
    private var answerEnd: NIODeadline?
    /// Requests that have begun to come and whose answers are not sent.
    private var unanswered = 0
    /// Whether the last request has not come in full.
    private var isComing = false
    private var isStopping = false
    /// Ends what is computed for the client.
    private var cancel: (() -> Void)?

    /// Waits for `patience`, and a quarter longer for a next request; computing an answer takes at
    /// most `timeLimit`. Neither is so long that their sum overflows.
    init(patience: Duration, timeLimit: Duration) {
      self.patience = TimeAmount(patience)
      answerLimit = TimeAmount(timeLimit) + self.patience
    }

    /// What `body` returns. If the client of `channel` goes before, or has gone, `cancel` is called
    /// by the connection's thread: it waits for no task that may be busy.
    static func run<Value>(
      forClientOf channel: any Channel, cancel: @escaping @Sendable () -> Void,
      _ body: () async throws -> Value
    ) async throws -> Value {
      @Sendable func onLeaving(_ action: (@Sendable () -> Void)?) {
        channel.eventLoop.execute {
          let watch = try? channel.pipeline.syncOperations.handler(type: ClientWatch.self)
          if let watch { watch.cancel = action } else { cancel() }
        }
      }
      onLeaving(cancel)
      defer { onLeaving(nil) }
      return try await body()
    }

    /// What `task` returns; it is cancelled if the client of `channel` goes before.
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
      case .head: (unanswered, isComing) = (unanswered + 1, true)
      case .body: break
      case .end: isComing = false
      }
      update(context)
      context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      guard case .end = unwrapOutboundIn(data) else {
        return context.write(data, promise: promise)
      }
      // An answer is sent when the system has taken the last of it.
      let sent = promise ?? context.eventLoop.makePromise()
      sent.futureResult.assumeIsolated().whenSuccess {
        self.unanswered = max(0, self.unanswered - 1)
        (self.answerEnd, self.turn) = (nil, nil)
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
        context.close(promise: nil)
      } else if event is ChannelShouldQuiesceEvent {
        // Not told to Hummingbird, which closes before all that it wrote is sent.
        (isStopping, turn) = (true, nil)
        update(context)
      } else {
        context.fireUserInboundEventTriggered(event)
      }
    }

    /// Sees whose turn it is, and for how long.
    private func update(_ context: ChannelHandlerContext) {
      let next: Turn =
        switch (unanswered, isComing) {
        case _ where !context.channel.isWritable: .reading
        case (0, _): .request
        case (1, true): .body
        default: .answer
        }
      guard next != turn else { return }
      turn = next
      timer?.cancel()
      if isStopping, next == .request || next == .body { return giveUp(context) }
      let now = NIODeadline.now()
      if next == .answer, answerEnd == nil { answerEnd = now + answerLimit }
      let end =
        switch next {
        case .request: now + .nanoseconds(patience.nanoseconds / 4 * 5)
        case .body: now + patience
        case .answer: answerEnd ?? .distantFuture
        case .reading: min(now + patience, answerEnd ?? .distantFuture)
        }
      timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: end) {
        self.giveUp(context)
      }
    }

    /// Waits no longer.
    private func giveUp(_ context: ChannelHandlerContext) {
      guard turn == .body else { return context.close(promise: nil) }
      // Whoever reads the body answers; nothing that comes afterwards is read.
      context.fireErrorCaught(isStopping ? APIError.stopping : .bodyTimeout)
    }
  }
#endif
