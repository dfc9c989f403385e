import Foundation
import MGLUServerAPI
import MGLUServingTestSupport
import Testing

/// The API without HTTP: the bodies that clients send, and the fields of responses that they read.
@Suite struct ServerAPITests {
  private static func api(
    _ template: String? = nil, eosTokenIDs: [Int32] = []
  ) throws -> ServerAPI {
    ServerAPI(
      try ServedModel(eosTokenIDs: eosTokenIDs).engine, model: "tiny",
      template: ChatTemplate(source: template), fingerprint: "b1")
  }

  /// One API for all requests that are independent of each other.
  private static let shared = Result { try api() }

  private static func object(_ reply: ServerAPI.Reply) throws -> [String: Any] {
    guard case .json(let text) = reply else { return [:] }
    return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
  }

  private static func completion(_ body: String) async throws -> [String: Any] {
    try object(try await shared.get().completions(Array(body.utf8)))
  }

  private static func choices(_ response: [String: Any]) -> [[String: Any]] {
    response["choices"] as? [[String: Any]] ?? []
  }

  /// The request of lm-evaluation-harness, and the fields of the response that it uses.
  @Test(arguments: [0, 1])
  func evaluationHarnessFindsItsLogprobs(tokens: Int) async throws {
    let response = try await Self.completion(
      """
      {"model": "any", "prompt": [[72, 101, 200, 108], [3, 256, 5]], "temperature": 0,
       "max_tokens": \(tokens), "logprobs": 1, "seed": 1234, "echo": true}
      """)
    let choices = Self.choices(response)
    #expect(choices.map { $0["index"] as? Int } == [0, 1])
    for (choice, count) in zip(choices, [4, 3]) {
      let logprobs = try #require(choice["logprobs"] as? [String: Any])
      let tokenLogprobs = try #require(logprobs["token_logprobs"] as? [Any])
      let top = try #require(logprobs["top_logprobs"] as? [Any])
      #expect(tokenLogprobs.count == count + tokens)
      #expect(top.count == tokenLogprobs.count)
      #expect((logprobs["tokens"] as? [String])?.count == tokenLogprobs.count)
      #expect((logprobs["text_offset"] as? [Int])?.first == 0)
      #expect(tokenLogprobs[0] is NSNull && top[0] is NSNull)
      for (logprob, alternatives) in zip(tokenLogprobs, top).dropFirst() {
        let logprob = try #require(logprob as? Double)
        let values = try #require(alternatives as? [String: Double]).values
        #expect(values.contains(logprob))
        #expect(values.max() ?? 1 <= 0)
      }
      if tokens == 1 {
        // At temperature 0 the generated token is the most probable one.
        #expect((top.last as? [String: Double])?.values.max() == tokenLogprobs.last as? Double)
      }
    }
  }

  @Test func promptsHaveFourTypes() async throws {
    for (prompt, count) in [
      (#""Hi""#, 1), (#"["Hi", "Ho"]"#, 2), ("[72, 105]", 1), ("[[72, 105], [72]]", 2),
    ] {
      let response = try await Self.completion(
        #"{"prompt": \#(prompt), "max_tokens": 3, "n": 2, "temperature": 0, "user": "me"}"#)
      let choices = Self.choices(response)
      #expect(choices.count == 2 * count)
      #expect(choices[0]["text"] as? String == choices[1]["text"] as? String)
      #expect(choices.allSatisfy { $0["finish_reason"] as? String == "length" })
      #expect((response["usage"] as? [String: Any])?["completion_tokens"] as? Int == 6 * count)
      #expect(response["object"] as? String == "text_completion")
      #expect(response["system_fingerprint"] as? String == "b1")
    }
  }

  @Test func anEchoRepeatsThePrompt() async throws {
    let plain = try await Self.completion(
      #"{"prompt": "Héllo", "max_tokens": 4, "temperature": 0, "stop": []}"#)
    let echoed = try await Self.completion(
      #"{"prompt": "Héllo", "max_tokens": 4, "temperature": 0, "echo": true}"#)
    let text = try #require(Self.choices(plain)[0]["text"] as? String)
    #expect(Self.choices(echoed)[0]["text"] as? String == "Héllo" + text)
  }

  @Test func chatsReturnAMessage() async throws {
    let body = """
      {"messages": [{"role": "system", "content": "Be brief."},
       {"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
       "max_tokens": 4, "temperature": 0, "logprobs": true, "top_logprobs": 2}
      """
    let response = try Self.object(try await Self.api().chat(Array(body.utf8)))
    let choice = try #require(Self.choices(response).first)
    let message = try #require(choice["message"] as? [String: Any])
    #expect(message["role"] as? String == "assistant")
    #expect(message["content"] is String)
    let content = (choice["logprobs"] as? [String: Any])?["content"] as? [[String: Any]]
    #expect(content?.count == 4)
    #expect((content?.first?["top_logprobs"] as? [Any])?.count == 2)
  }

  @Test(arguments: [
    ("{{ messages | unheard }}", "the filter unheard", "unsupported_chat_template"),
    ("\n{{ a.b }}", "line 2: a is not defined", "unsupported_chat_template"),
    ("{{ raise_exception('no ' ~ messages[0].role) }}", "no user", "invalid_value"),
    (
      "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", "steps",
      "chat_template_limit"
    ),
  ])
  func templatesRefuseMessages(source: String, words: String, code: String) async throws {
    let body = #"{"messages": [{"role": "user", "content": "Hi"}]}"#
    let error = await #expect(throws: APIError.self) {
      try await Self.api(source).chat(Array(body.utf8))
    }
    #expect(error?.status == 400 && error?.code == code && error?.param == "messages")
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }

  /// A chat is the completion of the text that the template renders.
  @Test func templatesRenderThePrompt() async throws {
    let api = try Self.api(
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ '<a>' if long }}")
    let chat = try Self.object(
      try await api.chat(
        Array(
          #"""
          {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, "temperature": 0,
           "chat_template_kwargs": {"long": true}}
          """#.utf8)))
    let plain = try Self.object(
      try await api.completions(
        Array(#"{"prompt": "<user>Hi<a>", "max_tokens": 5, "temperature": 0}"#.utf8)))
    let message = Self.choices(chat)[0]["message"] as? [String: Any]
    #expect(message?["content"] as? String == Self.choices(plain)[0]["text"] as? String)
    #expect((chat["usage"] as? [String: Any])?["prompt_tokens"] as? Int == 11)
  }

  /// The deltas of a stream add up to the whole response.
  @Test(arguments: [false, true])
  func streamsEndWithDone(isChat: Bool) async throws {
    let api = try Self.api()
    let prompt =
      isChat ? #""messages": [{"role": "user", "content": "Hi"}]"# : #""prompt": "Hi""#
    func reply(_ more: String) async throws -> ServerAPI.Reply {
      let body = Array(#"{\#(prompt), "max_tokens": 9, "temperature": 0\#(more)}"#.utf8)
      return isChat ? try await api.chat(body) : try await api.completions(body)
    }
    func text(_ choice: [String: Any], _ part: String) -> String {
      if !isChat { return choice["text"] as? String ?? "" }
      return (choice[part] as? [String: Any])?["content"] as? String ?? ""
    }
    let whole = Self.choices(try Self.object(try await reply("")))[0]
    let streamed = try await reply(#", "stream": true, "stream_options": {"include_usage": true}"#)
    guard case .events(_, let write) = streamed else {
      Issue.record("no events")
      return
    }
    nonisolated(unsafe) var events: [String] = []
    try await write { events.append($0) }
    #expect(events.allSatisfy { $0.hasPrefix("data: ") && $0.hasSuffix("\n\n") })
    #expect(events.last == "data: [DONE]\n\n")
    let chunks = try events.dropLast().map { try Self.object(.json(String($0.dropFirst(6)))) }
    let object = isChat ? "chat.completion.chunk" : "text_completion"
    #expect(chunks.allSatisfy { $0["object"] as? String == object })
    #expect(chunks.allSatisfy { $0["system_fingerprint"] as? String == "b1" })
    let joined = chunks.flatMap(Self.choices).map { text($0, "delta") }.joined()
    #expect(joined == text(whole, "message"))
    #expect((chunks.last?["usage"] as? [String: Any])?["completion_tokens"] as? Int == 9)
    #expect(chunks.last.map(Self.choices)?.isEmpty == true)
    #expect(chunks.dropLast().allSatisfy { $0["usage"] is NSNull })
    #expect(Self.choices(chunks[chunks.count - 2])[0]["finish_reason"] as? String == "length")
  }

  @Test func streamsHaveUsageOnlyOnRequest() async throws {
    let body = #"{"prompt": "Hi", "max_tokens": 2, "stream": true}"#
    guard case .events(_, let write) = try await Self.api().completions(Array(body.utf8)) else {
      Issue.record("no events")
      return
    }
    nonisolated(unsafe) var events = ""
    try await write { events += $0 }
    #expect(events.contains("finish_reason") && !events.contains("usage"))
  }

  @Test(arguments: [
    "", "{", "[]", "null", "7", #"{"prompt": 7}"#, #"{"prompt": []}"#, #"{"prompt": [[]]}"#,
    #"{"prompt": [1, {"a": 1}]}"#, #"{"prompt": [257]}"#, #"{"prompt": [-1]}"#,
    #"{"prompt": [99999999999]}"#, #"{"prompt": "a", "max_tokens": -1}"#,
    #"{"prompt": "a", "max_tokens": 1.5}"#, #"{"prompt": "a", "max_tokens": "1"}"#,
    #"{"prompt": "a", "max_tokens": 1e300}"#, #"{"prompt": "a", "temperature": -1}"#,
    #"{"prompt": "a", "temperature": "hot"}"#, #"{"prompt": "a", "top_p": -1}"#,
    #"{"prompt": "a", "n": 0}"#, #"{"prompt": "a", "n": 9223372036854775807}"#,
    #"{"prompt": "a", "logprobs": 21}"#, #"{"prompt": "a", "logprobs": true}"#,
    #"{"prompt": "a", "stop": 3}"#, #"{"prompt": "a", "presence_penalty": 3}"#,
    #"{"prompt": "a", "logit_bias": {"257": 1}}"#, #"{"prompt": "a", "logit_bias": {"5": 101}}"#,
    #"{"prompt": "a", "repetition_penalty": 0}"#, #"{"prompt": "a", "min_tokens": 17}"#,
    #"{"prompt": "a", "stop_token_ids": [257]}"#, #"{"prompt": "a", "temperature": NaN}"#,
    #"{"prompt": "a", "response_format": {"type": "json_object"}}"#,
    #"{"prompt": "a", "best_of": 3}"#, #"{"prompt": "a", "suffix": "b"}"#, #"{}"#,
    #"{"prompt": "a", "stream": "yes"}"#,
    #"{"prompt": "a", "stop": ["# + String(repeating: #""b","#, count: 300) + #""b"]}"#,
    #"{"prompt": ""# + String(repeating: "long ", count: 200) + #""}"#,
    String(repeating: "[", count: 100_000), "{\"prompt\": \"\u{0}\"}",
  ])
  func badRequestsAreRefused(body: String) async throws {
    let error = await #expect(throws: APIError.self) {
      try await Self.shared.get().completions(Array(body.utf8))
    }
    #expect((400..<500).contains(error?.status ?? 0))
    let fields = try Self.object(.json(JSONBody.encode(try #require(error))))["error"]
    #expect(
      Set((fields as? [String: Any] ?? [:]).keys) == ["message", "type", "param", "code"])
  }

  /// Unsupported fields are accepted with values that change nothing.
  @Test func unsupportedFieldsWithoutEffectAreAccepted() async throws {
    let response = try await Self.completion(
      #"""
      {"prompt": "a", "max_tokens": 1, "presence_penalty": 0, "logit_bias": {"5": 0},
       "response_format": {"type": "text"}, "best_of": 1, "suffix": "", "model": "any",
       "grammar": null, "store": false, "use_beam_search": false, "metadata": {"a": "b"}}
      """#)
    #expect(Self.choices(response).count == 1)
  }

  /// A body is not nested without bounds.
  @Test(arguments: [129, 100_000])
  func deepTemplateVariablesAreRefused(depth: Int) async throws {
    let value = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    let body =
      #"{"messages": [{"role": "user", "content": "a"}], "chat_template_kwargs": {"a": \#(value)}}"#
    let error = await #expect(throws: APIError.self) {
      try await Self.api("{{ a }}").chat(Array(body.utf8))
    }
    #expect(error?.status == 400)
  }

  @Test func numbersOfTheWrongTypeAreReported() async throws {
    let error = await #expect(throws: APIError.self) {
      try await Self.shared.get().completions(Array(#"{"prompt": "a", "seed": 1.5}"#.utf8))
    }
    #expect(error?.code == "invalid_value" && error?.message.contains("whole number") == true)
  }

  @Test func invalidUTF8IsRefused() async throws {
    let body = Array(#"{"prompt": ""#.utf8) + [0xff, 0xc3] + Array(#""}"#.utf8)
    let error = await #expect(throws: APIError.self) {
      try await Self.shared.get().completions(body)
    }
    #expect(error?.code == "invalid_utf8")
  }

  @Test func tokenizerRoutesRespond() async throws {
    let api = try Self.api(eosTokenIDs: [256])
    let tokens = try Self.object(try await api.tokenize(Array(#"{"content": "Hé"}"#.utf8)))
    #expect(tokens["tokens"] as? [Int] == [72, 195, 169])
    let text = try Self.object(try await api.detokenize(Array(#"{"tokens": [72, 195, 169]}"#.utf8)))
    #expect(text["prompt"] as? String == "Hé")
    #expect(text["content"] as? String == "Hé")
    await #expect(throws: APIError.self) {
      try await api.detokenize(Array(#"{"tokens": [300]}"#.utf8))
    }
    await #expect(throws: APIError.self) { try await api.tokenize(Array("{}".utf8)) }
    let pieces = try Self.object(
      try await api.tokenize(Array(#"{"content": "Hé", "with_pieces": true}"#.utf8)))
    let found = try #require(pieces["tokens"] as? [[String: Any]])
    #expect(found.map { $0["id"] as? Int } == [72, 195, 169])
    #expect(found[0]["piece"] as? String == "H" && found[1]["piece"] as? [Int] == [195])
    let error = await #expect(throws: APIError.self) {
      try await api.tokenize(Array(#"{"content": "a", "parse_special": false}"#.utf8))
    }
    #expect(error?.param == "parse_special")
    let info = try Self.object(api.tokenizerInfo())
    #expect(info["eos_token"] as? String == "<|endoftext|>")
    #expect(info.keys.contains("bos_token") && info.keys.contains("chat_template"))
  }

  @Test(
    arguments: [
      (ServingProblem.emptyPrompt, 400, nil), (.tokenID, 400, nil), (.sampling, 400, nil),
      (.contextLength, 400, "context_length_exceeded"), (.queueFull, 429, "queue_full"),
      (.draining, 503, "stopping"), (.timeout, 504, "timeout"), (.device, 500, "internal_error"),
      (.notFinite, 500, "internal_error"), (.memory, 500, "internal_error"),
      (.settings, 500, "internal_error"),
    ] as [(ServingProblem, Int, String?)])
  func errorsOfTheEngineHaveAStatus(problem: ServingProblem, status: Int, code: String?) {
    let error = APIError(ServingError(problem, "found", remedy: "remedy"))
    #expect(error.status == status && error.code == code)
    #expect((error.retryAfter != nil) == (status == 429 || status == 503))
    #expect((error.param == "prompt") == (status == 400 && problem != .sampling))
    // Remedies help clients with errors of their own only.
    #expect(error.message.contains("remedy") == (status == 400))
  }

  @Test(arguments: [false, true]) func damagedModelsAreInternalErrors(streams: Bool) async throws {
    let api = ServerAPI(try ServedModel(isDamaged: true).engine, model: "damaged")
    let error = await #expect(throws: APIError.self) {
      try await api.completions(Array(#"{"prompt": "Hi", "stream": \#(streams)}"#.utf8))
    }
    #expect(error?.status == 500)
    #expect(error?.message.contains("number") == true)
  }

  /// A server that prepares has answered requests of its own, which are counted nowhere, and is healthy
  /// then; so is one whose chats have no template.
  @Test(arguments: [nil, "{{ messages[0].content }}"])
  func requestsOfItsOwnAreCountedNowhere(template: String?) async throws {
    let api = try Self.api(template)
    let counters = { (api: ServerAPI) in
      api.engine.prometheusMetrics(model: "tiny").split(separator: "\n").filter {
        $0.contains("_total") || $0.contains("_count")
      }
    }
    let before = counters(api)
    try await api.prepare()
    #expect(try Self.object(api.health())["status"] as? String == "ok")
    #expect(counters(api) == before)
    _ = try await api.completions(Array(#"{"prompt": "a", "max_tokens": 1}"#.utf8))
    #expect(
      api.engine.prometheusMetrics(model: "tiny").contains(
        #"mglu:request_success_total{model_name="tiny"} 1"#))
  }

  /// A server that is stopped before it serves is not healthy.
  @Test func preparingEndsWithTheEngine() async throws {
    let api = try Self.api()
    api.engine.drain()
    let error = await #expect(throws: ServingError.self) { try await api.prepare() }
    #expect(error?.code == .draining)
  }

  /// A server of which a replica has failed answers on, and says that it should be restarted.
  @Test func failedReplicasAreUnhealthy() throws {
    let device = try FailingBackend()
    let engine = try ServedModel(
      settings: .init(maxSequences: 1), contextLength: 12_000,
      devices: [CPUBackend(threads: 1), device]
    ).engine
    let api = ServerAPI(engine, model: "tiny")
    #expect(try Self.object(api.health())["status"] as? String == "ok")
    let requests = try (0..<2).map { _ in
      try engine.submit([.init(prompt: [1], maxTokens: 11_999)])
    }
    try engine.wait(until: "num_requests_running", is: 2)
    device.fail()
    try engine.wait { engine.state == .impaired }
    let error = #expect(throws: APIError.self) { try api.health() }
    #expect(error?.status == 503 && error?.message.contains("others go on") == true)
    for request in requests { request.cancel() }
    engine.drain()
  }

  @Test func metricsCount() async throws {
    let api = try Self.api()
    _ = try await api.completions(Array(#"{"prompt": "Hello", "max_tokens": 4}"#.utf8))
    guard case .body(let text, _) = api.metrics() else {
      Issue.record("no text")
      return
    }
    #expect(text.contains("mglu:prompt_tokens_total{model_name=\"tiny\"} 5\n"))
    #expect(text.contains("mglu:generation_tokens_total{model_name=\"tiny\"} 4\n"))
    #expect(text.contains("mglu:e2e_request_latency_seconds_count{model_name=\"tiny\"} 1\n"))
  }
}
