#if Server
  import Hummingbird
  import NIOCore

  extension ServerAPI.Reply {
    /// The response to the client of `channel`.
    func response(forClientOf channel: any Channel) -> Response {
      switch self {
      case .json(let json): json.response(type: "application/json")
      case .body(let body, let type): body.response(type: type)
      case .events(let cancel, let send):
        Response(
          status: .ok,
          headers: [
            .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache",
          ],
          body: .init { writer in
            try await ConnectionTimeoutHandler.run(forClientOf: channel, cancel: cancel) {
              try await send { try await writer.write(chunksOf: $0) }
            }
            try await writer.finish(nil)
          })
      }
    }
  }

  extension String {
    func response(type: String, status: HTTPResponse.Status = .ok) -> Response {
      let buffer = ByteBuffer(string: self)
      return Response(
        status: status, headers: [.contentType: type],
        body: buffer.readableBytes <= Self.writeChunkSize
          ? .init(byteBuffer: buffer)
          : .init(contentLength: buffer.readableBytes) { writer in
            try await writer.write(chunksOf: self)
            try await writer.finish(nil)
          })
    }

    /// Maximum number of bytes of one write to a connection.
    fileprivate static let writeChunkSize = 1 << 16
  }

  extension ResponseBodyWriter {
    /// Writes `string` as fast as the client reads it. The connection's buffer stays small, and
    /// ``ConnectionTimeoutHandler`` sees when a client does not read.
    fileprivate mutating func write(chunksOf string: String) async throws {
      var rest = ByteBuffer(string: string)
      while rest.readableBytes > 0 {
        let length = min(rest.readableBytes, String.writeChunkSize)
        if let chunk = rest.readSlice(length: length) { try await write(chunk) }
      }
    }
  }
#endif
