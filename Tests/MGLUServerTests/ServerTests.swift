#if Server
  import Foundation
  import MGLUServer
  import MGLUServingTestSupport
  import Synchronization
  import Testing

  /// The server, over real connections.
  @Suite struct ServerTests {
    /// Calls `body` with the port of a server and its engine. Both end afterwards.
    static func withServer(
      settings: ServerSettings = .init(port: 0), engineSettings: EngineSettings = .init(),
      _ body: @escaping @Sendable (_ port: Int, _ engine: Engine) throws -> Void
    ) async throws {
      let engine = try ServedModel(settings: engineSettings).engine
      let (ports, started) = AsyncStream.makeStream(of: Int.self)
      let server = try Server(ServerAPI(engine, model: "tiny"), settings: settings)
      let task = Task { try await server.run { started.yield($0) } }
      var result: Result<Void, any Error>?
      for await port in ports {
        // Reading a socket blocks its thread.
        result = await withCheckedContinuation { done in
          Thread.detachNewThread { done.resume(returning: Result { try body(port, engine) }) }
        }
        break
      }
      task.cancel()
      try await task.value
      try result?.get()
    }

    static func fields(_ response: HTTPResponse) throws -> Set<String> {
      let body = try JSONSerialization.jsonObject(with: Data(response.body.utf8))
      let error = (body as? [String: Any])?["error"] as? [String: Any]
      return Set((error ?? [:]).keys)
    }

    static let four: Set = ["message", "type", "param", "code"]

    /// A program that goes on without its server is ended by Ctrl-C as before.
    @Test func signalsAreTheProgramsAgain() async {
      await #expect(processExitsWith: .signal(SIGINT)) {
        try await ServerTests.withServer { _, _ in }
        kill(getpid(), SIGINT)
        try await Task.sleep(for: .seconds(20))
      }
    }

    @Test(arguments: [
      ServerSettings(maxBytes: 0), ServerSettings(maxBytes: .max),
      ServerSettings(maxBytes: ServerSettings.mostBytes + 1),
      ServerSettings(clientTimeout: .seconds(-1)),
      ServerSettings(port: 70_000), ServerSettings(apiKey: ""),
    ]) func settingsOutOfRangeAreRefused(settings: ServerSettings) {
      #expect(throws: ServerError.self) { try settings.validate() }
    }

    @Test func everyRouteResponds() async throws {
      try await Self.withServer { port, _ in
        for path in [
          "/", "/health", "/metrics", "/v1/models", "/v1/models/tiny", "/tokenizer_info",
        ] {
          let response = try HTTPResponse("GET", path, port: port)
          #expect(response.status == 200, "\(path): \(response.head)")
          #expect(!response.body.isEmpty)
        }
        for (path, body) in [
          ("/v1/completions", #"{"prompt": "a", "max_tokens": 2}"#),
          (
            "/v1/chat/completions",
            #"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}"#
          ),
          ("/tokenize", #"{"prompt": "a"}"#), ("/detokenize", #"{"tokens": [97]}"#),
        ] {
          let response = try HTTPResponse("POST", path, Array(body.utf8), port: port)
          #expect(response.status == 200, "\(path): \(response.head) \(response.body)")
        }
      }
    }

    @Test func streamsAreSentAsTheyGrow() async throws {
      try await Self.withServer { port, _ in
        let body = Array(#"{"prompt": "a", "max_tokens": 20, "stream": true}"#.utf8)
        let response = try HTTPResponse("POST", "/v1/completions", body, port: port)
        #expect(response.head.lowercased().contains("content-type: text/event-stream"))
        #expect(response.body.contains("data: [DONE]\n\n"))
      }
      // The first event comes long before the last is computed.
      try await Self.withServer(engineSettings: .init(maxSequences: 1)) { port, engine in
        let connection = try HTTPConnection(port: port)
        connection.request(
          "POST", "/v1/completions",
          #"{"prompt": "a", "max_tokens": 590, "n": 1024, "stream": true}"#)
        #expect(connection.receive { $0.contains("data: {") }.contains("200 OK"))
        #expect(engine.metric("request_success_total") == 0)
      }
    }

    @Test func errorsHaveFourFields() async throws {
      try await Self.withServer(settings: .init(port: 0, maxBytes: 1000)) { port, _ in
        for (method, path, body, status) in [
          ("GET", "/nowhere", "", 404), ("GET", "/v1/completions", "", 405),
          ("DELETE", "/v1/models", "", 405), ("PUT", "/", "", 405), ("TRACE", "/", "", 405),
          ("POST", "/v1/completions", "{", 400), ("POST", "/v1/completions", "", 400),
          ("POST", "/v1/chat/completions", "{}", 400),
          ("POST", "/v1/completions", #"{"prompt": "a", "max_tokens": -1, "stream": true}"#, 400),
          ("POST", "/v1/completions", String(repeating: "x", count: 5000), 413),
        ] {
          let response = try HTTPResponse(method, path, Array(body.utf8), port: port)
          #expect(response.status == status, "\(method) \(path) \(response.head)")
          #expect(try Self.fields(response) == Self.four)
          let allowed = response.head.contains(
            "\r\nAllow: \(path.hasSuffix("ions") ? "POST" : "GET, HEAD")")
          #expect(allowed == (status == 405), "\(response.head)")
        }
      }
    }

    /// The response to HEAD is that to GET without the body, also for errors.
    @Test func responsesToHEADHaveNoBody() async throws {
      try await Self.withServer(settings: .init(port: 0, apiKey: "secret")) { port, _ in
        for (path, key, status) in [
          ("/", "", 200), ("/health", "", 200), ("/v1/models", "secret", 200),
          ("/metrics", "secret", 200), ("/v1/models", "", 401), ("/nowhere", "", 404),
          ("/v1/completions", "secret", 405),
        ] {
          let headers = key.isEmpty ? "" : "Authorization: Bearer \(key)\r\n"
          let response = try HTTPResponse("HEAD", path, headers: headers, port: port)
          #expect(response.status == status && response.body.isEmpty, "\(path): \(response)")
          #expect(!response.head.lowercased().contains("content-length: 0"))
        }
      }
    }

    @Test func keysAreRequired() async throws {
      try await Self.withServer(settings: .init(port: 0, apiKey: "secret")) { port, _ in
        for headers in ["", "Authorization: Bearer wrong\r\n"] {
          let response = try HTTPResponse("GET", "/v1/models", headers: headers, port: port)
          #expect(response.status == 401)
          #expect(try Self.fields(response) == Self.four)
        }
        let key = "Authorization: Bearer secret\r\n"
        #expect(try HTTPResponse("GET", "/v1/models", headers: key, port: port).status == 200)
        #expect(try HTTPResponse("GET", "/health", port: port).status == 200)
      }
    }

    /// The sequences of a client that disconnects leave the engine.
    @Test(arguments: [true, false])
    func clientsMayDisconnect(streams: Bool) async throws {
      try await Self.withServer(engineSettings: .init(maxSequences: 1)) { port, engine in
        let body = #"{"prompt": "a", "max_tokens": 590, "n": 200, "stream": \#(streams)}"#
        do {
          let connection = try HTTPConnection(port: port)
          connection.request("POST", "/v1/completions", body)
          if streams {
            _ = connection.receive()
          } else {
            try engine.wait(until: "num_requests_running", is: 1)
          }
        }
        let next = Array(#"{"prompt": "b", "max_tokens": 2}"#.utf8)
        #expect(try HTTPResponse("POST", "/v1/completions", next, port: port).status == 200)
        // The first request was canceled.
        #expect(engine.metric("request_success_total") == 1)
      }
    }

    @Test func malformedRequestsDisturbNoOthers() async throws {
      try await Self.withServer { port, _ in
        for text in [
          "nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0",
          "POST /v1/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
          "POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
        ] {
          let connection = try HTTPConnection(port: port)
          connection.send(Array(text.utf8))
        }
        #expect(try HTTPResponse("GET", "/health", port: port).status == 200)
      }
    }

    /// The streams of eight clients, of four choices each, are the same beside bad requests.
    @Test func badRequestsDisturbNoOthers() async throws {
      let settings = ServerSettings(port: 0, maxBytes: 1 << 20)
      try await Self.withServer(settings: settings) { port, _ in
        let bodies = (0..<8).map { index in
          #"{"prompt": "Text \#(index)", "max_tokens": 300, "n": 4, "seed": \#(index), "stream": true}"#
        }
        @Sendable func streamed(_ index: Int) -> [Int: String]? {
          let response = try? HTTPResponse(
            "POST", "/v1/completions", Array(bodies[index].utf8), port: port)
          return response.flatMap { $0.status == 200 ? Self.choices($0) : nil }
        }
        let alone = bodies.indices.map(streamed)
        #expect(alone.allSatisfy { $0?.count == 4 } && Set(alone).count == 8)

        let together = Mutex([[Int: String]?](repeating: nil, count: 8))
        let left = Atomic(8)
        for index in bodies.indices {
          Thread.detachNewThread {
            let choices = streamed(index)
            together.withLock { $0[index] = choices }
            left.subtract(1, ordering: .sequentiallyConsistent)
          }
        }
        var rounds = 0
        repeat {
          for (body, status) in Self.badBodies {
            let path = rounds % 2 == 0 || status == 413 ? "/v1/completions" : "/v1/chat/completions"
            let response = try HTTPResponse("POST", path, body, port: port)
            #expect(path.hasSuffix("chat/completions") || response.status == status)
            #expect((400..<500).contains(response.status))
            #expect(try Self.fields(response) == Self.four)
          }
          rounds += 1
        } while left.load(ordering: .sequentiallyConsistent) > 0
        #expect(together.withLock { $0 } == alone)
      }
    }

    private static let badBodies: [(body: [UInt8], status: Int)] =
      [
        "{", "[1", #"{"prompt": 1.5}"#, #"{"prompt": {"a": 1}}"#, #"{"prompt": "a", "n": "b"}"#,
        #"{"prompt": "a", "max_tokens": -1}"#, #"{"prompt": [99999]}"#, #"{"prompt": [-1]}"#,
        #"{"prompt": [99999999999999999999]}"#,
        #"{"prompt": ""# + String(repeating: "long ", count: 100_000) + #""}"#,
      ].map { (Array($0.utf8), 400) } + [
        (Array(#"{"prompt": ""#.utf8) + [0xc3, 0x28, 0xff] + Array(#""}"#.utf8), 400),
        (Array(#"{"prompt": ""#.utf8) + [UInt8](repeating: 97, count: 10 << 20), 413),
      ]

    /// The streamed text of each choice.
    private static func choices(_ response: HTTPResponse) -> [Int: String] {
      var texts: [Int: String] = [:]
      for line in response.body.split(whereSeparator: \.isNewline) where line.hasPrefix("data: {") {
        let chunk = try? JSONSerialization.jsonObject(with: Data(line.dropFirst(6).utf8))
        for choice in (chunk as? [String: Any])?["choices"] as? [[String: Any]] ?? [] {
          if let index = choice["index"] as? Int, let text = choice["text"] as? String {
            texts[index, default: ""] += text
          }
        }
      }
      return texts
    }
  }
#endif
