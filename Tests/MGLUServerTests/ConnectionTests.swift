#if Server
  import Foundation
  import MGLUServer
  import Testing

  /// Connections that are kept open, left, or not used.
  @Suite struct ConnectionTests {
    private static let short = #"{"prompt": "a", "max_tokens": 2}"#
    private static let streamed = #"{"prompt": "a", "max_tokens": 2, "stream": true}"#
    /// Takes seconds, and more bytes than a system keeps for a client that does not read.
    private static func long(streams: Bool) -> String {
      #"{"prompt": "a", "max_tokens": 590, "n": 1024, "stream": \#(streams)}"#
    }

    /// Waits until nothing runs or waits.
    private static func waitUntilIdle(_ api: ServerAPI) -> Bool {
      for _ in 0..<3000 {
        if api.metric("num_requests_running") == 0, api.metric("num_requests_waiting") == 0 {
          return true
        }
        usleep(10_000)
      }
      return false
    }

    /// A client that asks again and again by one connection, and then leaves amid an answer.
    @Test(arguments: [true, false])
    func connectionsAreKept(streams: Bool) async throws {
      try await ServerTests.withServer(engine: .init(mostTexts: 1)) { port, api in
        do {
          let connection = try HTTPConnection(port: port)
          for body in [Self.short, Self.streamed, "{", Self.short] {
            connection.ask("POST", "/v1/completions", body)
            let answer = connection.receiveAnswer()
            #expect(answer.status == (body == "{" ? 400 : 200))
            #expect(!answer.head.lowercased().contains("connection: close"))
          }
          // Two at once are answered in their order.
          connection.ask("POST", "/v1/completions", Self.short)
          connection.ask("GET", "/health")
          #expect(connection.receiveAnswer().body.contains("text_completion"))
          #expect(connection.receiveAnswer().body.contains("ok"))
          connection.ask("POST", "/v1/completions", Self.long(streams: streams))
          if streams {
            #expect(connection.receive { $0.contains("data: {") }.contains("200 OK"))
          } else {
            try api.wait(until: "num_requests_running", is: 1)
          }
          // Behind it another one, which nobody will wait for either.
          connection.ask("POST", "/v1/completions", Self.short)
        }
        #expect(Self.waitUntilIdle(api))
        #expect(api.metric("request_success_total") == 4)
      }
    }

    /// Whoever sends nothing, or half a head, is not waited for; nor whoever was answered.
    @Test(arguments: ["", "GET /health HTTP/1.1\r\nHo", "GET /health HTTP/1.1\r\n\r\n"])
    func idleConnectionsAreClosed(text: String) async throws {
      let settings = ServerSettings(port: 0, patience: .milliseconds(100))
      try await ServerTests.withServer(settings: settings) { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(Array(text.utf8))
        let answer = connection.receiveAll()
        #expect(answer.isEmpty != text.hasSuffix("\r\n\r\n"))
      }
    }

    @Test func bodiesHaveALimitOfTime() async throws {
      let settings = ServerSettings(port: 0, patience: .milliseconds(100))
      try await ServerTests.withServer(settings: settings) { port, _ in
        for path in ["/v1/completions", "/tokenize"] {
          let connection = try HTTPConnection(port: port)
          connection.send(Array("POST \(path) HTTP/1.1\r\nContent-Length: 50\r\n\r\n{".utf8))
          let answer = HTTPAnswer(connection.receiveAll())
          #expect(answer.status == 408, "\(answer)")
          #expect(answer.head.lowercased().contains("connection: close"))
          #expect(try ServerTests.fields(answer) == ServerTests.four)
        }
      }
    }

    @Test func malformedBodiesAreTheClientsFault() async throws {
      try await ServerTests.withServer { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.send(
          Array("POST /tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".utf8))
        #expect(HTTPAnswer(connection.receiveAll()).status == 400)
      }
    }

    /// A client is not what is waited for while an answer is computed.
    @Test func computingMayTakeLonger() async throws {
      let settings = ServerSettings(port: 0, patience: .milliseconds(20))
      try await ServerTests.withServer(settings: settings) { port, _ in
        let begin = ContinuousClock.now
        let body = #"{"prompt": "a", "max_tokens": 590, "n": 40}"#
        let answer = try HTTPAnswer("POST", "/v1/completions", Array(body.utf8), port: port)
        #expect(answer.status == 200)
        #expect(ContinuousClock.now - begin > .milliseconds(25), "too short to tell")
      }
    }

    /// A client that does not read what it is sent is given up, and what it asked for with it.
    @Test func whoeverDoesNotReadIsGivenUp() async throws {
      let settings = ServerSettings(port: 0, patience: .milliseconds(100))
      try await ServerTests.withServer(settings: settings) { port, api in
        let connection = try HTTPConnection(port: port)
        connection.ask("POST", "/v1/completions", Self.long(streams: true))
        #expect(connection.receive { $0.contains("data: {") }.contains("200 OK"))
        #expect(Self.waitUntilIdle(api))
        #expect(api.metric("request_success_total") == 0)
        let isWhole = connection.receiveAll().contains("[DONE]")
        #expect(!isWhole)
      }
    }

    /// Long answers come whole, however slowly they are read.
    @Test func longAnswersComeWhole() async throws {
      let settings = ServerSettings(port: 0, mostBytes: 8 << 20)
      try await ServerTests.withServer(settings: settings) { port, _ in
        let connection = try HTTPConnection(port: port)
        connection.ask(
          "POST", "/detokenize", #"{"tokens": [\#(String(repeating: "97,", count: 2_000_000))97]}"#)
        usleep(200_000)
        let answer = connection.receiveAnswer()
        #expect(answer.status == 200)
        #expect(answer.body.utf8.count > 4_000_000 && answer.body.hasSuffix("}"))
      }
    }

    /// Connections without a whole request do not keep a server from ending; an answer does.
    @Test func stoppingWaitsForAnswersOnly() async throws {
      nonisolated(unsafe) var connections: [HTTPConnection] = []
      nonisolated(unsafe) var begin = ContinuousClock.now
      let settings = ServerSettings(port: 0, patience: .seconds(600))
      try await ServerTests.withServer(settings: settings) { port, api in
        for text in [
          "", "GET /health HT", "POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
        ] {
          let connection = try HTTPConnection(port: port)
          connection.send(Array(text.utf8))
          connections.append(connection)
        }
        // By then all have been accepted, and their bytes read.
        #expect(try HTTPAnswer("GET", "/health", port: port).status == 200)
        let connection = try HTTPConnection(port: port)
        connection.ask("POST", "/v1/completions", #"{"prompt": "a", "max_tokens": 590, "n": 40}"#)
        connections.append(connection)
        try api.wait(until: "num_requests_running", is: EngineSettings().mostTexts)
        begin = .now
      }
      // Far below the patience for a client. Other tests may keep the threads that tasks need.
      #expect(ContinuousClock.now - begin < .seconds(300))
      let answers = connections.map { HTTPAnswer($0.receiveAll()) }
      #expect(answers.map(\.status) == [0, 0, 503, 200])
      #expect(answers[3].body.contains("finish_reason"))
    }
  }
#endif
