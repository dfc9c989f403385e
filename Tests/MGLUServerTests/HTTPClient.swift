#if Server
  import Foundation
  import MGLUServingTestSupport

  /// A connection that speaks HTTP.
  final class HTTPConnection: LoopbackConnection {
    /// Received bytes of the next response.
    private var unread: [UInt8] = []

    init(port: Int) throws { try super.init(port: port) }

    /// Sends a request, and leaves the connection open.
    func request(_ method: String, _ path: String, _ body: String = "") {
      send(
        Array(
          "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
            .utf8) + Array(body.utf8))
    }

    /// Everything that was not read before, until it `isEnough` or the server closes.
    func receive(until isEnough: (String) -> Bool) -> String {
      while !isEnough(String(decoding: unread, as: UTF8.self)) {
        let part = receive()
        if part.isEmpty { break }
        unread += part
      }
      return String(decoding: unread, as: UTF8.self)
    }

    /// The next response of a connection that stays open.
    func receiveResponse() -> HTTPResponse {
      let head = receive { $0.contains("\r\n\r\n") }
      let end = head.range(of: "\r\n\r\n")?.upperBound ?? head.endIndex
      var length = head[..<end].utf8.count
      let fields = head[..<end].lowercased()
      if fields.contains("transfer-encoding: chunked") {
        let last = "\r\n0\r\n\r\n"
        let text = receive { $0.contains(last) }
        length = text.range(of: last).map { text[..<$0.upperBound].utf8.count } ?? unread.count
      } else if let count = fields.firstMatch(of: /content-length: (\d+)/)?.output.1 {
        length += Int(count) ?? 0
        while unread.count < length {
          let part = receive()
          if part.isEmpty { break }
          unread += part
        }
      }
      defer { unread.removeFirst(min(length, unread.count)) }
      return HTTPResponse(String(decoding: unread.prefix(length), as: UTF8.self))
    }

    /// Everything until the server closes.
    func receiveAll() -> String { String(decoding: receiveBytes(), as: UTF8.self) }
  }

  /// A response: status, head and body.
  struct HTTPResponse {
    let status: Int
    let head: String
    let body: String

    /// The response of the server at `port` to a request by a connection of its own.
    init(
      _ method: String, _ path: String, _ body: [UInt8] = [], headers: String = "",
      host: String = "localhost", port: Int
    ) throws {
      let connection = try HTTPConnection(port: port)
      let head =
        "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\nConnection: close\r\n\(headers)"
        + "Content-Length: \(body.count)\r\n\r\n"
      connection.send(Array(head.utf8) + body)
      self.init(connection.receiveAll())
    }

    init(_ text: String) {
      let lines = text.split(separator: "\r\n\r\n", maxSplits: 1, omittingEmptySubsequences: false)
      head = lines.first.map(String.init) ?? ""
      body = lines.count > 1 ? String(lines[1]) : ""
      status = Int(head.dropFirst("HTTP/1.1 ".count).prefix(3)) ?? 0
    }
  }
#endif
