#if Server
  import Foundation
  import Testing

  #if canImport(FoundationNetworking)
    import FoundationNetworking
  #endif

  @Suite struct ServeCommandTests {
    /// Calls `body` with the folder of a small model.
    private static func withModel(
      _ body: (_ folder: String, _ model: String) throws -> Void
    ) throws {
      let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("mglu-\(UUID().uuidString)").path
      defer { try? FileManager.default.removeItem(atPath: folder) }
      try withText { _, text in
        let trained = try mglu(
          CommandTests.train(
            text, folder + "/run", ["--steps", "3"] + SharedModelCommandTests.shape))
        #expect(trained.status == 0, "\(trained.errors)")
      }
      try body(folder, folder + "/run")
    }

    /// Answers go on after SIGTERM until they are whole; then the process ends well.
    @Test(arguments: [("--replicas", 1), ("--replicas", 2), ("--ranks", 2)])
    func whatWasBegunIsFinishedAfterSIGTERM(option: String, count: Int) throws {
      try Self.withModel { _, model in
        let server = try RunningServer([
          "--model", model, "--threads", "\(count)", option, "\(count)",
        ])
        let (others, replicas) = (server.children, option == "--replicas" ? count : 1)
        #expect(others.count == (option == "--ranks" ? count - 1 : 0))
        #expect(try server.get("/health").status == 200)
        let answer = try server.post(
          "/v1/completions", #"{"prompt": "Line", "max_tokens": 60, "n": 1000}"#)
        #expect(try server.isWriting(8 * replicas))
        server.terminate()
        let (status, body) = try #require(answer.wait())
        #expect(status == 200 && body.contains("\"finish_reason\""))
        #expect(server.exitStatus() == 0)
        #expect(throws: (any Error).self) { try server.get("/health") }
        #expect(server.errors.split(separator: "\n").count == 1, "\(server.errors)")
        #expect(others.allSatisfy { kill($0, 0) != 0 })
      }
    }

    /// Without one of the ranks that share its model a server ends, and says which was lost.
    @Test func aLostRankEndsTheServer() throws {
      try Self.withModel { _, model in
        let server = try RunningServer(["--model", model, "--threads", "3", "--ranks", "2"])
        let answer = try server.post(
          "/v1/completions", #"{"prompt": "Line", "max_tokens": 60, "n": 1000}"#)
        #expect(try server.isWriting(8))
        let lost = try #require(server.children.first)
        kill(lost, SIGKILL)
        #expect(server.exitStatus() == 1)
        let isAnswered = answer.wait() != nil
        #expect(!isAnswered)
        #expect(server.errors.contains("process \(lost)) has ended"), "\(server.errors)")
      }
    }

    /// Two replicas give the answers of one, byte for byte but for names and times.
    @Test func answersDoNotDependOnReplicas() throws {
      try Self.withModel { _, model in
        func texts(replicas: Int) throws -> [Data] {
          let server = try RunningServer([
            "--model", model, "--threads", "\(replicas)", "--replicas", "\(replicas)",
          ])
          #expect(try server.get("/health").status == 200)
          let answers = try (0..<6).map { index in
            try server.post(
              "/v1/completions",
              """
              {"prompt": "Line \(index)", "max_tokens": 40, "n": 4, "seed": \(index), "logprobs": 2,
              "temperature": \(index % 2)}
              """)
          }
          let texts = try answers.map { answer in
            let (status, body) = try #require(answer.wait())
            #expect(status == 200, "\(body)")
            let document = try #require(
              JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
            let choices = try #require(document["choices"] as? [Any])
            #expect(choices.count == 4)
            return try JSONSerialization.data(withJSONObject: choices, options: .sortedKeys)
          }
          let metrics = try server.get("/metrics").body
          #expect(metrics.contains("replica=\"1\"") == (replicas == 2))
          server.terminate()
          #expect(server.exitStatus() == 0)
          return texts
        }
        let (one, two) = (try texts(replicas: 1), try texts(replicas: 2))
        #expect(one == two)
      }
    }

    /// Nothing is waited for after a second signal.
    @Test func aSecondSignalEndsAtOnce() throws {
      try Self.withModel { _, model in
        let server = try RunningServer(["--model", model, "--threads", "1"])
        // Texts for minutes.
        let body = #"{"prompt": "Line", "max_tokens": 200, "n": 1000}"#
        let answers = try (0..<20).map { _ in try server.post("/v1/completions", body) }
        #expect(try server.isWriting())
        server.terminateAgainAndAgain()
        #expect(server.exitStatus() == 128 + SIGTERM)
        let isLastAnswered = answers.last?.wait() != nil
        #expect(!isLastAnswered)
      }
    }

    @Test(arguments: ["environment", "file"])
    func keysComeUnseen(from source: String) throws {
      try Self.withModel { folder, model in
        let path = folder + "/key"
        try Data("secret\n".utf8).write(to: URL(fileURLWithPath: path))
        let server =
          source == "file"
          ? try RunningServer(["--model", model, "--api-key-file", path])
          : try RunningServer(["--model", model], environment: ["MGLU_API_KEY": "secret"])
        #expect(try server.get("/v1/models").status == 401)
        #expect(try server.get("/v1/models", key: "secret").status == 200)
        server.terminate()
        #expect(server.exitStatus() == 0)
      }
    }

    @Test(arguments: [1, 2]) func clientsAreTimed(replicas: Int) throws {
      try Self.withModel { _, model in
        let timed = try mglu([
          "bench", "serve", "--model", model, "--clients", "1,3", "--prompt", "5", "--generate",
          "4", "--rounds", "2", "--threads", "2", "--replicas", "\(replicas)", "--json",
        ]).json()
        let results = try #require(timed["results"] as? [[String: Any]])
        #expect(results.compactMap { $0["clients"] as? Int } == [1, 3])
        #expect(results.allSatisfy { $0["replicas"] as? Int == replicas })
        for name in ["tokens_per_s", "first_token_ms", "bound_tokens_per_s"] {
          #expect(results.allSatisfy { ($0[name] as? Double ?? 0) > 0 }, "\(name)")
        }
      }
    }

    @Test func wrongServersEndInOneLine() throws {
      try Self.withModel { folder, model in
        let server = try RunningServer(["--model", model])
        for (arguments, words) in [
          (["--port", "65536"], "65536"), (["--api-key", ""], "empty"),
          (["--api-key", "a b"], "blanks"), (["--api-key-file", folder + "/none"], "none"),
          (["--port", "\(server.port)"], "port \(server.port): Address already in use"),
          (["--context", "100000"], "at most"),
          (["--host", "::bad::"], "::bad::"),
          (["--max-batch", "1000000000"], "--max-batch"), (["--device", "tpu"], "tpu"),
          (["--kv-cache-memory-bytes", "1"], "--kv-cache-memory-bytes"),
          (["--kv-cache-memory-bytes", "8X"], "8X"),
          (["--gpu-memory-utilization", "1.5"], "at most 1"),
          (["--max-batch", "0"], "at least 1"), (["--max-queue", "-1"], "--max-queue"),
          (["--api-key", "a", "--api-key-file", "b"], "either"),
          (["--replicas", "0"], "--replicas 0"), (["--replicas", "two"], "two"),
          (["--replicas", "3", "--threads", "2"], "--replicas 3"),
          (["--replicas", "all"], "--device cuda"),
          (["--replicas", "cpu,cpu"], "number of replicas"),
          (["--replicas", "cuda:0,cuda:0"], "twice"),
          // None has so many.
          (["--device", "cuda", "--replicas", "1000"], "GPU"),
          (["--replicas", "cuda:0,cuda:1000"], "GPU"),
        ] {
          let result = try mglu(["serve", "--model", model] + arguments)
          #expect(result.status != 0 && result.output.isEmpty)
          #expect(result.errors.contains(words), "\(arguments): \(result.errors)")
          if result.status != 64 {
            #expect(result.errors.split(separator: "\n").count == 1, "\(result.errors)")
          }
        }
        server.terminate()
        #expect(server.exitStatus() == 0)
      }
    }

    /// Weights that another process cuts off end the model, and not the process.
    @Test(arguments: [1, 2]) func aModelThatIsTruncatedIsAnError(replicas: Int) throws {
      try Self.withModel { _, model in
        let server = try RunningServer([
          "--model", model, "--threads", "2", "--replicas", "\(replicas)",
        ])
        let weights = URL(fileURLWithPath: model + "/model.safetensors")
        try FileHandle(forWritingTo: weights).truncate(atOffset: 0)
        let request = #"{"prompt": "a", "max_tokens": 4}"#
        let answer = try #require(server.post("/v1/completions", request).wait())
        #expect(answer.status >= 500, "\(answer)")
        #expect(try server.get("/health").status == 503)
        server.terminate()
        #expect(server.exitStatus() >= 0)
        #expect(answer.body.contains("model.safetensors: the file became shorter"))
      }
    }

    /// A template that is not understood is told of at once, and everything else is served.
    @Test func templatesThatAreNotUnderstoodAreTold() throws {
      try Self.withModel { _, model in
        try Data("{{ messages }}\n{% unheard %}".utf8)
          .write(to: URL(fileURLWithPath: model + "/chat_template.jinja"))
        let server = try RunningServer(["--model", model])
        let chat = #"{"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}"#
        let refused = try #require(server.post("/v1/chat/completions", chat).wait())
        #expect(refused.status == 400 && refused.body.contains("line 2: {% unheard %}"))
        let plain = try server.post("/v1/completions", #"{"prompt": "a", "max_tokens": 1}"#).wait()
        #expect(plain?.status == 200)
        server.terminate()
        #expect(server.exitStatus() == 0)
        #expect(server.errors.contains("line 2: {% unheard %} is not understood"))
      }
    }
  }

  /// `mglu serve` on a free port, until it is terminated.
  private final class RunningServer: @unchecked Sendable {
    let port: Int
    private let process = Process()
    private let log: URL

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
      log = URL(fileURLWithPath: "/tmp/mglu-\(UUID().uuidString).err")
      _ = FileManager.default.createFile(atPath: log.path, contents: nil)
      process.executableURL = productFolder.appendingPathComponent("mglu")
      process.arguments = ["serve", "--port", "0"] + arguments
      process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
      process.standardOutput = FileHandle.nullDevice
      process.standardError = try FileHandle(forWritingTo: log)
      try process.run()
      var found: Int?
      for _ in 0..<3000 where found == nil && process.isRunning {
        Thread.sleep(forTimeInterval: 0.02)
        let text = String(decoding: try Data(contentsOf: log), as: UTF8.self)
        guard text.hasSuffix("\n"), let line = text.split(separator: "\n").last else { continue }
        if line.hasPrefix("serving ") {
          found = line.split(separator: ":").last.flatMap { Int($0) }
        }
      }
      port = try #require(found)
    }

    deinit {
      if process.isRunning { process.terminate() }
      try? FileManager.default.removeItem(at: log)
    }

    /// What it has said so far on standard error.
    var errors: String {
      String(decoding: (try? Data(contentsOf: log)) ?? Data(), as: UTF8.self)
    }

    /// Whether it comes to write as many texts as it can.
    func isWriting(_ texts: Int = 8) throws -> Bool {
      for _ in 0..<1000 {
        let metrics = try get("/metrics").body
        if metrics.contains("num_requests_running{model_name=\"run\"} \(texts)") { return true }
      }
      return false
    }

    func terminate() { process.terminate() }

    /// The processes that it has started.
    var children: [pid_t] {
      let tasks = "/proc/\(process.processIdentifier)/task"
      let names = (try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []
      return names.flatMap { name in
        let list = try? String(contentsOfFile: "\(tasks)/\(name)/children", encoding: .utf8)
        return (list ?? "").split(separator: " ").compactMap { pid_t($0) }
      }
    }

    /// Until it has ended: two signals may arrive as one.
    func terminateAgainAndAgain() {
      while process.isRunning {
        process.terminate()
        usleep(100_000)
      }
    }

    func exitStatus() -> Int32 {
      process.waitUntilExit()
      return process.terminationReason == .exit ? process.terminationStatus : -1
    }

    /// An answer that may not be there yet. Waiting blocks the thread, as running commands does:
    /// tasks would wait for threads that other tests block.
    final class Answer: @unchecked Sendable {
      private let arrival = DispatchSemaphore(value: 0)
      private var result: (status: Int, body: String)?
      private let session = URLSession(configuration: .ephemeral)

      init(to request: URLRequest) {
        let task = session.dataTask(with: request) { data, response, _ in
          if let data, let response = response as? HTTPURLResponse {
            self.result = (response.statusCode, String(decoding: data, as: UTF8.self))
          }
          self.arrival.signal()
        }
        task.resume()
      }

      /// The answer, or nothing where there was none.
      func wait() -> (status: Int, body: String)? {
        arrival.wait()
        session.finishTasksAndInvalidate()
        return result
      }
    }

    func get(_ path: String, key: String? = nil) throws -> (status: Int, body: String) {
      var request = try request(path)
      if let key { request.setValue("Bearer \(key)", forHTTPHeaderField: "Authorization") }
      guard let answer = Answer(to: request).wait() else { throw URLError(.cannotConnectToHost) }
      return answer
    }

    /// Sends `body`, and does not wait.
    func post(_ path: String, _ body: String) throws -> Answer {
      var request = try request(path)
      request.timeoutInterval = 600
      request.httpMethod = "POST"
      request.httpBody = Data(body.utf8)
      request.setValue("application/json", forHTTPHeaderField: "Content-Type")
      return Answer(to: request)
    }

    private func request(_ path: String) throws -> URLRequest {
      URLRequest(url: try #require(URL(string: "http://127.0.0.1:\(port)\(path)")))
    }
  }
#endif
