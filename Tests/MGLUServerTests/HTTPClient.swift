#if Server
  import Foundation

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #else
    import Darwin
  #endif

  /// A connection to a server on this machine, byte by byte. Tests can send what no client library would.
  final class HTTPConnection {
    private let descriptor: Int32
    /// Received bytes of the next response.
    private var unread: [UInt8] = []

    init(port: Int) throws {
      #if canImport(Glibc)
        let stream = Int32(SOCK_STREAM.rawValue)
      #else
        let stream = SOCK_STREAM
      #endif
      descriptor = socket(AF_INET, stream, 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = in_port_t(port).bigEndian
      address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      guard result == 0 else { throw ConnectionError.refused }
    }

    deinit { close(descriptor) }

    enum ConnectionError: Error { case refused }

    /// Sends bytes until the server closes the connection.
    func send(_ bytes: [UInt8]) {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
      }
    }

    /// The next bytes, or none at the end.
    func receive() -> [UInt8] {
      var buffer = [UInt8](repeating: 0, count: 1 << 14)
      let count = read(descriptor, &buffer, buffer.count)
      return Array(buffer.prefix(max(0, count)))
    }

    /// Sends nothing more, and goes on to receive.
    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

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
    func receiveAll() -> String {
      var bytes: [UInt8] = []
      while true {
        let part = receive()
        if part.isEmpty { return String(decoding: bytes, as: UTF8.self) }
        bytes += part
      }
    }
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
