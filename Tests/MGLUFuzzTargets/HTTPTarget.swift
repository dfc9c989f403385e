#if Server
  import Foundation
  import MGLUServer
  import Synchronization

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #else
    import Darwin
  #endif

  /// Connections to a server.
  enum HTTPTarget {
    /// The port of a server that serves as long as the process lives.
    private static let port: Int? = {
      guard let api = RequestTargets.apis.last,
        let server = try? Server(
          api, settings: .init(port: 0, maxBytes: 1 << 16, clientTimeout: .seconds(2)))
      else { return nil }
      let port = Mutex(0)
      let started = DispatchSemaphore(value: 0)
      Task.detached {
        try? await server.run { bound in
          port.withLock { $0 = bound }
          started.signal()
        }
      }
      // Other tests may block the threads of tasks for minutes.
      return started.wait(timeout: .now() + 600) == .success ? port.withLock { $0 } : nil
    }()

    /// A client sends bytes, ends its side, and reads until the server closes.
    static func connection(_ bytes: [UInt8]) throws(FuzzFinding) {
      guard let port else { throw FuzzFinding("the server does not start") }
      #if canImport(Glibc)
        let stream = Int32(SOCK_STREAM.rawValue)
      #else
        let stream = SOCK_STREAM
      #endif
      let descriptor = socket(AF_INET, stream, 0)
      defer { close(descriptor) }
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = in_port_t(port).bigEndian
      address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
      let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
      guard result == 0 else { throw FuzzFinding("the server refuses a connection") }
      // Longer than any request of these may take.
      var limit = timeval(tv_sec: 8, tv_usec: 0)
      setsockopt(
        descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes {
          Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard count > 0 else { break }
        rest = rest.dropFirst(count)
      }
      shutdown(descriptor, Int32(SHUT_WR))
      try receive(descriptor)
    }

    private static func receive(_ descriptor: Int32) throws(FuzzFinding) {
      var received: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 1 << 14)
      while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0, errno == EAGAIN {
          let text = String(decoding: received.prefix(300), as: UTF8.self)
          throw FuzzFinding("the server does not close: \(text.debugDescription)")
        }
        guard count > 0 else { break }
        received += buffer[..<count]
      }
      guard received.isEmpty || received.starts(with: "HTTP/1.".utf8) else {
        let text = String(decoding: received.prefix(300), as: UTF8.self)
        throw FuzzFinding("no response: \(text.debugDescription)")
      }
      if received.starts(with: "HTTP/1.1 5".utf8) {
        throw FuzzFinding(String(decoding: received.prefix(300), as: UTF8.self))
      }
    }
  }
#else
  /// A package without a server has nothing to connect to.
  enum HTTPTarget {
    static func connection(_ bytes: [UInt8]) throws(FuzzFinding) {}
  }
#endif
