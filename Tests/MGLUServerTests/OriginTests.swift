#if Server
  import MGLUServer
  import MGLUServingTestSupport
  import Testing

  /// Which names and which web pages may use a server.
  @Suite struct OriginTests {
    private static let body = Array(#"{"prompt": "a", "max_tokens": 1}"#.utf8)

    @Test func pagesOfOthersAreRefused() async throws {
      let settings = ServerSettings(
        port: 0, allowedHosts: ["gpu-box"], corsOrigins: ["http://localhost:5173"])
      try await ServerTests.withServer(settings: settings) { port, _ in
        for (host, origin, status, code) in [
          ("localhost", "", 200, ""), ("LOCALHOST:\(port)", "", 200, ""),
          ("127.0.0.1:\(port)", "", 200, ""), ("[::1]:\(port)", "", 200, ""),
          ("192.168.1.7", "", 200, ""), ("a.localhost", "", 200, ""), ("gpu-box:80", "", 200, ""),
          ("evil.example", "", 403, "host_not_allowed"),
          ("127.0.0.1.evil.example", "", 403, "host_not_allowed"),
          ("localhost.evil.example", "", 403, "host_not_allowed"),
          ("evil.example", "http://evil.example", 403, "host_not_allowed"),
          ("localhost", "http://evil.example", 403, "origin_not_allowed"),
          ("localhost", "null", 403, "origin_not_allowed"),
          ("localhost", "http://localhost:3000", 403, "origin_not_allowed"),
          ("localhost:\(port)", "http://localhost:\(port)", 200, ""),
          ("localhost", "http://localhost:5173", 200, ""),
        ] {
          for (method, path, body) in [
            ("GET", "/v1/models", []), ("POST", "/v1/completions", Self.body),
          ] {
            let headers = origin.isEmpty ? "" : "Origin: \(origin)\r\n"
            let response = try HTTPResponse(
              method, path, body, headers: headers, host: host, port: port)
            #expect(response.status == status, "\(host) \(origin): \(response)")
            #expect(code.isEmpty || response.body.contains(code))
            let allows = response.head.contains("Access-Control-Allow-Origin: \(origin)\r\n")
            #expect(allows == (status == 200 && !origin.isEmpty))
          }
        }
      }
    }

    /// Browsers ask before they send JSON: without the key, which comes with the request itself.
    @Test func preflightsAreAnswered() async throws {
      let settings = ServerSettings(
        port: 0, apiKey: "secret", corsOrigins: ["http://localhost:5173"])
      try await ServerTests.withServer(settings: settings) { port, _ in
        func ask(_ origin: String) throws -> HTTPResponse {
          try HTTPResponse(
            "OPTIONS", "/v1/chat/completions",
            headers: "Origin: \(origin)\r\nAccess-Control-Request-Method: POST\r\n"
              + "Access-Control-Request-Headers: authorization,content-type\r\n", port: port)
        }
        let allowed = try ask("http://localhost:5173")
        #expect(allowed.status == 204)
        for line in [
          "Access-Control-Allow-Origin: http://localhost:5173",
          "Access-Control-Allow-Headers: authorization,content-type", "Vary: Origin",
          "Access-Control-Allow-Methods: GET, HEAD, POST",
        ] { #expect(allowed.head.contains("\r\n" + line), "\(allowed.head)") }
        let refused = try ask("http://evil.example")
        #expect(refused.status == 403 && !refused.head.contains("Access-Control"))
        // A page may read why its request failed.
        let error = try HTTPResponse(
          "GET", "/v1/models", headers: "Origin: http://localhost:5173\r\n", port: port)
        #expect(error.status == 401 && error.head.contains("Access-Control-Allow-Origin"))
        // With a key, any name of the machine is good.
        let key = "X-Api-Key: secret\r\n"
        let named = try HTTPResponse(
          "GET", "/v1/models", headers: key, host: "gpu-box", port: port)
        #expect(named.status == 200)
      }
    }

    @Test(arguments: [
      ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("", 200),
      ("application/json", 200), ("Application/JSON; charset=utf-8", 200),
      ("application/json\r\nContent-Encoding: gzip", 415),
    ])
    func bodiesAreJSON(type: String, status: Int) async throws {
      try await ServerTests.withServer { port, _ in
        let headers = type.isEmpty ? "" : "Content-Type: \(type)\r\n"
        let response = try HTTPResponse(
          "POST", "/v1/completions", Self.body, headers: headers, port: port)
        #expect(response.status == status, "\(response)")
      }
    }

    @Test func pathsAndNamesAreThoseThatClientsUse() async throws {
      try await ServerTests.withServer { port, _ in
        for path in ["/completions", "/v1/completions"] {
          let response = try HTTPResponse("POST", path, Self.body, port: port)
          #expect(response.status == 200)
        }
        let chat = Array(#"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}"#.utf8)
        let answer = try HTTPResponse("POST", "/chat/completions", chat, port: port)
        #expect(answer.status == 200)
        for (path, status) in [
          ("/models", 200), ("/models/tiny", 200), ("/v1/models/t%69ny", 200),
          ("/v1/models/gpt-4o", 404), ("/v1/models/a/b%zz%", 404),
        ] {
          let response = try HTTPResponse("GET", path, port: port)
          #expect(response.status == status, "\(path)")
        }
      }
    }

    @Test(arguments: ["a", "http://", "http://a/", "://a", "http://a b"])
    func wrongOriginsAreRefused(origin: String) {
      let error = #expect(throws: ServerError.self) {
        try ServerSettings(corsOrigins: [origin]).validate()
      }
      #expect(error?.code == .origin)
    }

    @Test(arguments: [
      ("127.0.0.1", true), ("localhost", true), ("::1", true), ("0.0.0.0", false), ("::", false),
      ("127.evil.example", false),
    ])
    func openAddressesAreKnown(host: String, isLocal: Bool) {
      #expect(ServerSettings(host: host).isLocal == isLocal)
    }

    /// Others are answered while long texts are tokenized.
    @Test func longTextsHoldUpNobody() async throws {
      try await ServerTests.withServer { port, _ in
        let text = String(repeating: "abc def ", count: 20_000)
        let connections = try (0..<8).map { _ in
          let connection = try HTTPConnection(port: port)
          connection.request("POST", "/tokenize", #"{"prompt": "\#(text)"}"#)
          return connection
        }
        let health = try HTTPResponse("GET", "/health", port: port)
        #expect(health.status == 200)
        for connection in connections { #expect(connection.receiveResponse().status == 200) }
      }
    }
  }
#endif
