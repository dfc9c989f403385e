#if Server
  import Foundation
  import MGLUServer
  import MGLUServingTestSupport
  import Testing

  /// Connections that stay open, close early, or wait.
  @Suite struct ConnectionTests {
    private static let short = #"{"prompt": "a", "max_tokens": 2}"#
    private static let streamed = #"{"prompt": "a", "max_tokens": 2, "stream": true}"#
    /// Takes seconds, and more bytes than an operating system buffers for a client that does not read.
    private static func long(streams: Bool) -> String {
      #"{"prompt": "a", "max_tokens": 590, "n": 1024, "stream": \#(streams)}"#
    }

    /// Waits until no sequence runs or waits. Returns whether that happens within half a minute.
    private static func waitUntilIdle(_ engine: Engine) -> Bool {
      for _ in 0..<3000 {
        if engine.metric("num_requests_running") == 0, engine.metric("num_requests_waiting") == 0 {
          return true
        }
        usleep(10_000)
      }
      return false
    }

    /// A client sends several requests by one connection, and disconnects amid a response.
    @Test(arguments: [true, false])
    func connectionsStayOpen(streams: Bool) async throws {
      try await ServerTests.withServer(engineSettings: .init(maxSequences: 1)) { port, engine in
        do {
          let connection = try HTTPConnection(port: port)
          for body in [Self.short, Self.streamed, "{", Self.short] {
            connection.request("POST", "/v1/completions", body)
            let response = connection.receiveResponse()
            #expect(response.status == (body == "{" ? 400 : 200))
            #expect(!response.head.lowercased().contains("connection: close"))
          }
          // The responses to two requests at once come in order.
          connection.request("POST", "/v1/completions", Self.short)
          connection.request("GET", "/health")
          #expect(connection.receiveResponse().body.contains("text_completion"))
          #expect(connection.receiveResponse().body.contains("ok"))
          connection.request("POST", "/v1/completions", Self.long(streams: streams))
          if streams {
            #expect(connection.receive { $0.contains("data: {") }.contains("200 OK"))
          } else {
            try engine.wait(until: "num_requests_running", is: 1)
          }
          // One more request behind it, which the client does not wait for either.
          connection.request("POST", "/v1/completions", Self.short)
        }
        #expect(Self.waitUntilIdle(engine))
        #expect(engine.metric("request_success_total") == 4)
      }
    }

    /// The server closes a connection that sends nothing, half a head, or no second request.
    @Test(arguments: ["", "GET /health HTTP/1.1\r\nHo", "GET /health HTTP/1.1\r\n\r\n"])
    func idleConnectionsAreClosed(text: String) async throws {
      let settings = ServerSettings(port: 0, clientTimeout: .milliseconds(100))
      try await ServerTests.withServer(settings: settings) { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(Array(text.utf8))
        let response = connection.receiveAll()
        #expect(response.isEmpty != text.hasSuffix("\r\n\r\n"))
      }
    }

    @Test func bodiesHaveATimeLimit() async throws {
      let settings = ServerSettings(port: 0, clientTimeout: .milliseconds(100))
      try await ServerTests.withServer(settings: settings) { port, _ in
        for path in ["/v1/completions", "/tokenize"] {
          let connection = try HTTPConnection(port: port)
          connection.send(Array("POST \(path) HTTP/1.1\r\nContent-Length: 50\r\n\r\n{".utf8))
          let response = HTTPResponse(connection.receiveAll())
          #expect(response.status == 408, "\(response)")
          #expect(response.head.lowercased().contains("connection: close"))
          #expect(try ServerTests.fields(response) == ServerTests.four)
        }
      }
    }

    @Test func malformedBodiesAreTheClientsFault() async throws {
      try await ServerTests.withServer { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(
          Array("POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".utf8))
        #expect(HTTPResponse(connection.receiveAll()).status == 400)
      }
    }

    /// The client timeout does not limit the computation of a response.
    @Test func computingMayTakeLonger() async throws {
      let settings = ServerSettings(port: 0, clientTimeout: .milliseconds(20))
      try await ServerTests.withServer(settings: settings) { port, _ in
        let start = ContinuousClock.now
        let body = #"{"prompt": "a", "max_tokens": 590, "n": 40}"#
        let response = try HTTPResponse("POST", "/v1/completions", Array(body.utf8), port: port)
        #expect(response.status == 200)
        #expect(ContinuousClock.now - start > .milliseconds(25), "too short to tell")
      }
    }

    /// The server disconnects a client that does not read, and cancels its request.
    @Test func clientsThatDoNotReadAreDisconnected() async throws {
      let settings = ServerSettings(port: 0, clientTimeout: .milliseconds(100))
      try await ServerTests.withServer(settings: settings) { port, engine in
        let connection = try HTTPConnection(port: port)
        connection.request("POST", "/v1/completions", Self.long(streams: true))
        #expect(connection.receive { $0.contains("data: {") }.contains("200 OK"))
        #expect(Self.waitUntilIdle(engine))
        #expect(engine.metric("request_success_total") == 0)
        let isWhole = connection.receiveAll().contains("[DONE]")
        #expect(!isWhole)
      }
    }

    /// A client that reads slowly gets the whole response.
    @Test func longResponsesAreSentWhole() async throws {
      let settings = ServerSettings(port: 0, maxBytes: 8 << 20)
      try await ServerTests.withServer(settings: settings) { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.request(
          "POST", "/detokenize", #"{"tokens": [\#(String(repeating: "97,", count: 2_000_000))97]}"#)
        usleep(200_000)
        let response = connection.receiveResponse()
        #expect(response.status == 200)
        #expect(response.body.utf8.count > 4_000_000 && response.body.hasSuffix("}"))
      }
    }

    /// A stopping server waits for responses, and not for requests.
    @Test func stoppingWaitsForResponsesOnly() async throws {
      nonisolated(unsafe) var connections: [HTTPConnection] = []
      nonisolated(unsafe) var start = ContinuousClock.now
      let settings = ServerSettings(port: 0, clientTimeout: .seconds(600))
      try await ServerTests.withServer(settings: settings) { port, engine in
        for text in [
          "", "GET /health HT", "POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
        ] {
          let connection = try HTTPConnection(port: port)
          connection.send(Array(text.utf8))
          connections.append(connection)
        }
        // A response means that the connections before were accepted and read.
        #expect(try HTTPResponse("GET", "/health", port: port).status == 200)
        let connection = try HTTPConnection(port: port)
        connection.request(
          "POST", "/v1/completions", #"{"prompt": "a", "max_tokens": 590, "n": 40}"#)
        connections.append(connection)
        // As many as run at once on a CPU.
        try engine.wait(until: "num_requests_running", is: 8)
        start = .now
      }
      // Much less than the client timeout. Other tests may hold the threads that tasks need.
      #expect(ContinuousClock.now - start < .seconds(300))
      let responses = connections.map { HTTPResponse($0.receiveAll()) }
      #expect(responses.map(\.status) == [0, 0, 503, 200])
      #expect(responses[3].body.contains("finish_reason"))
    }

    /// Clients of HTTP/1.0 get no chunks, and a connection that closes unless they ask for more.
    @Test func oldClientsAreAnswered() async throws {
      try await ServerTests.withServer { port, _ in
        let health = "GET /health HTTP/1.0\r\n"
        var connection = try HTTPConnection(port: port)
        connection.send(Array((health + "\r\n").utf8))
        let response = connection.receiveAll()
        #expect(response.hasPrefix("HTTP/1.0 200 ") && response.hasSuffix(#"{"status":"ok"}"#))

        connection = try HTTPConnection(port: port)
        for _ in 0..<2 {
          connection.send(Array((health + "Connection: Keep-Alive\r\n\r\n").utf8))
          let response = connection.receiveResponse()
          #expect(response.status == 200 && response.head.lowercased().contains("keep-alive"))
        }

        for keepAlive in ["", "Connection: keep-alive\r\n"] {
          connection = try HTTPConnection(port: port)
          connection.send(
            Array(
              ("POST /v1/completions HTTP/1.0\r\n\(keepAlive)Content-Length: "
                + "\(Self.streamed.utf8.count)\r\n\r\n\(Self.streamed)").utf8))
          let streamed = HTTPResponse(connection.receiveAll())
          #expect(streamed.status == 200 && streamed.body.hasPrefix("data: {"))
          #expect(streamed.body.hasSuffix("data: [DONE]\n\n"))
          #expect(!streamed.head.lowercased().contains("chunked"))
        }
      }
    }

    /// `close` is one of a list of options, in any case, and the server says that it closes.
    @Test(arguments: [
      "close", "Close", "TE, close", "close, TE", "keep-alive\r\nConnection: CLOSE",
    ])
    func connectionsCloseWhereAsked(options: String) async throws {
      try await ServerTests.withServer { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(
          Array("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: \(options)\r\n\r\n".utf8))
        let response = HTTPResponse(connection.receiveAll())
        #expect(response.status == 200 && response.body == #"{"status":"ok"}"#)
        #expect(response.head.lowercased().contains("connection: close"))
      }
    }

    /// A request for another protocol is answered in this one, and is the last of its connection: Java's
    /// client asks for HTTP/2 so, and sends its next request where it thinks that the connection is open.
    @Test(arguments: ["h2c\r\nHTTP2-Settings: AAMAAABk", "websocket", "TLS/1.0"])
    func upgradesAreDeclined(protocols: String) async throws {
      try await ServerTests.withServer { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(
          Array(
            ("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings"
              + "\r\nUpgrade: \(protocols)\r\nContent-Length: \(Self.short.utf8.count)\r\n\r\n"
              + Self.short).utf8))
        let response = HTTPResponse(connection.receiveAll())
        #expect(response.status == 200 && response.body.contains("text_completion"))
        #expect(response.head.lowercased().contains("connection: close"))
      }
    }

    /// Which of two names a request is for, nobody can tell.
    @Test func requestsHaveOneHost() async throws {
      try await ServerTests.withServer { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.request("GET", "/health")
        #expect(connection.receiveResponse().status == 200)
        connection.send(
          Array(
            "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}"
              .utf8))
        #expect(HTTPResponse(connection.receiveAll()).status == 400)
      }
    }

    /// Leave to send a body is nothing that a client of HTTP/1.0 knows.
    @Test func oldClientsGetNoLeave() async throws {
      try await ServerTests.withServer { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(
          Array(
            ("POST /v1/completions HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: "
              + "\(Self.short.utf8.count)\r\n\r\n\(Self.short)").utf8))
        #expect(connection.receiveAll().hasPrefix("HTTP/1.0 200 "))
      }
    }

    /// A client that waits for leave to send its body gets it at once, or the error in its place.
    @Test func bodiesAreSentAfterLeave() async throws {
      try await ServerTests.withServer(settings: .init(port: 0, maxBytes: 1000)) { port, _ in
        func head(_ length: Int, _ expectation: String) -> [UInt8] {
          Array(
            ("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: \(expectation)\r\n"
              + "Content-Length: \(length)\r\n\r\n").utf8)
        }
        let connection = try HTTPConnection(port: port)
        connection.send(head(Self.short.utf8.count, "100-continue"))
        #expect(connection.receiveResponse().status == 100)
        connection.send(Array(Self.short.utf8))
        #expect(connection.receiveResponse().status == 200)
        for (length, expectation, status) in [
          (5000, "100-continue", 413), (10, "200-maybe", 417),
        ] {
          let connection = try HTTPConnection(port: port)
          connection.send(head(length, expectation))
          #expect(connection.receiveResponse().status == status)
        }
      }
    }

    /// A client that ends its own side gets its response.
    @Test func halfClosedClientsAreAnswered() async throws {
      // A busy machine may take longer than a second.
      var patient = ServerSettings(port: 0)
      patient.halfClosedTime = .seconds(60)
      try await ServerTests.withServer(settings: patient) { port, _ in
        for (method, path, body) in [
          ("GET", "/health", ""), ("POST", "/v1/completions", Self.short),
          ("POST", "/v1/completions", Self.streamed), ("POST", "/tokenize", #"{"prompt": "a"}"#),
        ] {
          let connection = try HTTPConnection(port: port)
          connection.request(method, path, body)
          connection.endOutput()
          let response = HTTPResponse(connection.receiveAll())
          #expect(response.status == 200, "\(path) \(response)")
          #expect(!body.contains("stream") || response.body.contains("[DONE]"))
        }
      }
      // What takes long is canceled: the client may be gone.
      try await ServerTests.withServer { port, engine in
        let connection = try HTTPConnection(port: port)
        connection.request("POST", "/v1/completions", Self.long(streams: false))
        connection.endOutput()
        #expect(connection.receiveAll().isEmpty)
        #expect(Self.waitUntilIdle(engine))
      }
    }
  }
#endif
