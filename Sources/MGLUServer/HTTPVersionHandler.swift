#if Server
  import NIOCore
  import NIOHTTP1
  import NIOHTTPTypesHTTP1

  /// Answers clients of HTTP/1.0 as they expect it: without chunks, and by a connection that closes after
  /// the response, unless the client asks for more and the response says where it ends.
  ///
  /// It stands before the codec of HTTP's types, which knows no versions.
  final class HTTPVersionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private enum Client {
      case new
      case old(staysOpen: Bool)
    }

    /// Whose responses are not sent, in order.
    private var clients: [Client] = []
    private var closesAfterResponse = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head(var head) = unwrapInboundIn(data) else {
        return context.fireChannelRead(data)
      }
      guard (head.version.major, head.version.minor) < (1, 1) else {
        clients.append(.new)
        return context.fireChannelRead(data)
      }
      let staysOpen = head.headers[canonicalForm: "connection"].contains {
        $0.lowercased() == "keep-alive"
      }
      clients.append(.old(staysOpen: staysOpen))
      if !staysOpen { head.headers.replaceOrAdd(name: "connection", value: "close") }
      context.fireChannelRead(wrapInboundOut(.head(head)))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
      switch unwrapOutboundIn(data) {
      case .head(var head):
        guard case .old(let staysOpen)? = clients.first else { break }
        head.version = .http1_0
        if staysOpen, head.headers.contains(name: "content-length") {
          head.headers.replaceOrAdd(name: "connection", value: "keep-alive")
        } else {
          closesAfterResponse = true
        }
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
