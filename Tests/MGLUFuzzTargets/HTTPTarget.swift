#if Server
  import Foundation
  import MGLUServer
  import MGLUServingTestSupport
  import Synchronization

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
      return started.wait(timeout: .now() + 60) == .success ? port.withLock { $0 } : nil
    }()

    /// A client sends bytes, ends its side, and reads until the server closes.
    static func connection(_ bytes: [UInt8]) throws(FuzzFinding) {
      guard let port else { throw FuzzFinding("the server does not start") }
      let connection: LoopbackConnection
      // Longer than any request of these may take.
      do { connection = try LoopbackConnection(port: port, patience: 8) } catch {
        throw FuzzFinding("the server refuses a connection")
      }
      connection.send(bytes)
      connection.endOutput()
      let received = connection.receiveBytes()
      let text = String(decoding: received.prefix(300), as: UTF8.self)
      if connection.hasGivenUp {
        throw FuzzFinding("the server does not close: \(text.debugDescription)")
      }
      guard received.isEmpty || received.starts(with: "HTTP/1.".utf8) else {
        throw FuzzFinding("no response: \(text.debugDescription)")
      }
      if received.starts(with: "HTTP/1.1 5".utf8) { throw FuzzFinding(text) }
    }
  }
#else
  /// A package without a server has nothing to connect to.
  enum HTTPTarget {
    static func connection(_ bytes: [UInt8]) throws(FuzzFinding) {}
  }
#endif
