#if Server
  import NIOCore
  import NIOHTTP1
  import NIOHTTPTypesHTTP1

  /// Decides which connections stay open, and answers clients of HTTP/1.0 as they expect it: without chunks,
  /// and by a connection that closes after the response, unless the client asks for more and the response
  /// says where it ends.
  ///
  /// It stands before the codec of HTTP's types, which knows no versions, and before the server, which
  /// knows one spelling of `Connection: close`.
  final class HTTPVersionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// Who waits for a response.
    private struct Client {
      /// Whether it speaks HTTP/1.0.
      let isOld: Bool
      /// Whether the connection closes after the response.
      let closes: Bool
    }

    /// Whose responses are not sent, in order.
    private var clients: [Client] = []
    private var closesAfterResponse = false
    private var isRefusing = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard !isRefusing else { return }
      guard case .head(var head) = unwrapInboundIn(data) else {
        return context.fireChannelRead(data)
      }
      let isOld = (head.version.major, head.version.minor) < (1, 1)
      let options = head.headers[canonicalForm: "connection"].map { $0.lowercased() }
      // NIO's decoder reads nothing behind a request that asks for another protocol: none is offered.
      let isLast =
        head.method == .CONNECT
        || options.contains("upgrade") && head.headers.contains(name: "upgrade")
      let closes =
        isLast || options.contains("close") || isOld && !options.contains("keep-alive")
      clients.append(Client(isOld: isOld, closes: closes))
      guard head.headers["host"].count < 2 else {
        isRefusing = true
        return context.fireErrorCaught(HTTPParserError.invalidHeaderToken)
      }
      if closes { head.headers.replaceOrAdd(name: "connection", value: "close") }
      // It would take leave to go on for the response.
      if isOld { head.headers.remove(name: "expect") }
      context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      switch unwrapOutboundIn(data) {
      case .head(var head):
        guard let client = clients.first, head.status.code >= 200 else { break }
        if client.isOld { head.version = .http1_0 }
        if client.closes {
          head.headers.replaceOrAdd(name: "connection", value: "close")
        } else if client.isOld, head.headers.contains(name: "content-length") {
          head.headers.replaceOrAdd(name: "connection", value: "keep-alive")
        }
        closesAfterResponse =
          client.isOld && (client.closes || !head.headers.contains(name: "content-length"))
        return context.write(wrapOutboundOut(.head(head)), promise: promise)
      case .body: break
      case .end:
        if !clients.isEmpty { clients.removeFirst() }
        guard closesAfterResponse else { break }
        let sent = promise ?? context.eventLoop.makePromise()
        sent.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        return context.write(data, promise: sent)
      }
      context.write(data, promise: promise)
    }

    /// Adds the handler where it belongs: handlers that are added to a server stand behind the codec.
    final class Installer: ChannelInboundHandler, RemovableChannelHandler {
      typealias InboundIn = NIOAny

      func handlerAdded(context: ChannelHandlerContext) {
        let pipeline = context.pipeline.syncOperations
        // Without the codec, every client is answered as one of HTTP/1.1.
        guard let codec = try? pipeline.handler(type: HTTP1ToHTTPServerCodec.self) else { return }
        try? pipeline.addHandler(HTTPVersionHandler(), position: .before(codec))
      }
    }
  }
#endif
