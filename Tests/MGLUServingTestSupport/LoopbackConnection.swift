#if canImport(Glibc)
  import Glibc
  private let streamType = Int32(SOCK_STREAM.rawValue)
  private let sendFlags = Int32(MSG_NOSIGNAL)
#elseif canImport(Musl)
  import Musl
  private let streamType = SOCK_STREAM
  private let sendFlags = Int32(MSG_NOSIGNAL)
#else
  import Darwin
  private let streamType = SOCK_STREAM
  private let sendFlags: Int32 = 0
#endif

/// A connection to a port of this machine, byte by byte: tests can send what no client library would.
open class LoopbackConnection {
  private let descriptor: Int32
  /// Whether the last ``receive()`` waited as long as the connection's patience, and nothing came.
  package private(set) var hasGivenUp = false

  /// Connects to `port`; `patience` are the seconds that ``receive()`` waits, or 0 for no limit.
  package init(port: Int, patience: Int = 0) throws {
    descriptor = socket(AF_INET, streamType, 0)
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
    var limit = timeval(tv_sec: patience, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  package enum ConnectionError: Error { case refused }

  /// Sends bytes until the server closes the connection.
  package func send(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { pointer in
        #if canImport(Glibc)
          Glibc.send(descriptor, pointer.baseAddress, pointer.count, sendFlags)
        #elseif canImport(Musl)
          Musl.send(descriptor, pointer.baseAddress, pointer.count, sendFlags)
        #else
          Darwin.send(descriptor, pointer.baseAddress, pointer.count, sendFlags)
        #endif
      }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// The next bytes, or none at the end.
  package func receive() -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    hasGivenUp = count < 0 && errno == EAGAIN
    return Array(buffer.prefix(max(0, count)))
  }

  /// Sends nothing more, and goes on to receive.
  package func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Everything until the server closes.
  package func receiveBytes() -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let part = receive()
      if part.isEmpty { return bytes }
      bytes += part
    }
  }
}
