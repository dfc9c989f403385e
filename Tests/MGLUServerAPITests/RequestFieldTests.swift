import Foundation
import MGLUServerAPI
import MGLUServingTestSupport
import Testing

/// Every field of a request is applied, or refused by its name.
@Suite struct RequestFieldTests {
  private static func api(
    _ template: String? = nil, eosTokenIDs: [Int32] = [], tokenizer: Tokenizer? = nil
  ) throws -> ServerAPI {
    ServerAPI(
      try ServedModel(eosTokenIDs: eosTokenIDs).engine, model: "tiny", aliases: ["org/other"],
      template: ChatTemplate(source: template))
  }

  private static let shared = Result { try api() }

  private static func object(_ reply: ServerAPI.Reply) throws -> [String: Any] {
    guard case .json(let text) = reply else { return [:] }
    return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any] ?? [:]
  }

  private static func completion(_ more: String, prompt: String = #""Hello""#) async throws
    -> [String: Any]
  {
    let body = #"{"prompt": \#(prompt), "temperature": 0, "logprobs": 0\#(more)}"#
    return try object(try await shared.get().completions(Array(body.utf8)))
  }

  private static func tokens(_ response: [String: Any]) -> [String] {
    let choice = (response["choices"] as? [[String: Any]])?.first
    return (choice?["logprobs"] as? [String: Any])?["tokens"] as? [String] ?? []
  }

  /// What OpenAI, vLLM and llama.cpp have and this server cannot do.
  static let refused = [
    #""grammar": "root ::= a""#, #""json_schema": {"type": "object"}"#,
    #""guided_json": {"type": "object"}"#, #""guided_regex": "a+""#, #""guided_choice": ["a"]"#,
    #""guided_grammar": "a""#, #""structured_outputs": {"json": {}}"#,
    #""functions": [{"name": "f"}]"#, #""function_call": {"name": "f"}"#,
    #""response_format": {"type": "json_object"}"#,
    #""response_format": {"type": "json_schema", "json_schema": {}}"#, #""store": true"#,
    #""modalities": ["text", "audio"]"#, #""audio": {"voice": "alloy"}"#,
    #""web_search_options": {}"#, #""verbosity": "low"# + "\"", #""use_beam_search": true"#,
    #""length_penalty": 2"#, #""include_stop_str_in_output": true"#,
    #""truncate_prompt_tokens": 4"#,
    #""skip_special_tokens": false"#, #""logits_processors": ["a"]"#, #""repeat_penalty": 1.1"#,
    #""n_predict": 5"#, #""cach_prompt": true"#, #""bad_words": ["a"]"#, #""typical_p": 0.5"#,
    #""chat_template": "{{ a }}""#,
  ]

  @Test(arguments: refused, [false, true])
  func whatCannotBeDoneIsRefusedByName(field: String, isChat: Bool) async throws {
    let name = try #require(field.split(separator: "\"").first)
    let prompt =
      isChat ? #""messages": [{"role": "user", "content": "a"}]"# : #""prompt": "a""#
    let body = Array("{\(prompt), \(field)}".utf8)
    let error = await #expect(throws: APIError.self) {
      let api = try Self.shared.get()
      _ = isChat ? try await api.chat(body) : try await api.completions(body)
    }
    #expect(error?.status == 400 && error?.code == "unsupported_parameter")
    #expect(error?.param == String(name) && error?.message.contains(name) == true)
  }

  /// A choice of tools that must be kept cannot be; without tools in the template, none are taken.
  @Test(arguments: [
    (#""tool_choice": "required""#, "tool_choice"),
    (#""tool_choice": {"type": "function", "function": {"name": "f"}}"#, "tool_choice"),
    (#""tools": [{"type": "function", "function": {"name": "f"}}]"#, "tools"),
    (#""reasoning_effort": "low""#, "reasoning_effort"), (#""echo": true"#, "echo"),
    (#""top_logprobs": 3"#, "top_logprobs"),
  ])
  func chatsRefuseByName(field: String, name: String) async throws {
    let body = Array(#"{"messages": [{"role": "user", "content": "a"}], \#(field)}"#.utf8)
    let error = await #expect(throws: APIError.self) {
      try await Self.api("{{ messages[0].content }}").chat(body)
    }
    #expect(error?.status == 400 && error?.param == name)
  }

  /// Messages, tools and variables reach the template as they were sent, in their order, as transformers
  /// 5.24 passes them on: without a message's null fields, and with its reasoning under both names.
  @Test func messagesReachTheTemplateWhole() async throws {
    let template = "{{ messages | tojson }}{{ tools | tojson }}{{ reasoning_effort }}"
    let messages = """
      [{"role": "user", "content": "What is the weather?", "name": "ann"},
       {"role": "assistant", "content": null, "reasoning_content": "I look.", "tool_calls": [
         {"id": "c1", "type": "function", "index": null,
          "function": {"name": "w", "arguments":
            "{\\"b\\": 1, \\"a\\": [2.5, true, null, 123456789012345678901]}"}}]},
       {"role": "tool", "tool_call_id": "c1", "content": "rain"},
       {"role": "user", "content": [{"type": "text", "text": "So"}, {"type": "text", "text": "?"}]}]
      """
    let tools = #"[{"type": "function", "function": {"name": "w", "b": 1, "a": 2}}]"#
    let expected = """
      [{"role": "user", "content": "What is the weather?", "name": "ann"}, \
      {"thinking": "I look.", "role": "assistant", "reasoning_content": "I look.", "tool_calls": [\
      {"id": "c1", "type": "function", "index": null, "function": {"name": "w", "arguments": \
      {"b": 1, "a": [2.5, true, null, 123456789012345678901]}}}]}, \
      {"role": "tool", "tool_call_id": "c1", "content": "rain"}, \
      {"role": "user", "content": "So?"}]\(tools)low
      """
    let body = """
      {"messages": \(messages), "tools": \(tools), "tool_choice": "auto", "temperature": 0,
       "reasoning_effort": "low", "max_tokens": 3}
      """
    let chat = try Self.object(try await Self.api(template).chat(Array(body.utf8)))
    let plain = try await Self.completion(
      #", "max_tokens": 3"#, prompt: JSONBody.encode(expected))
    let usage = try #require(chat["usage"] as? [String: Any])
    #expect(usage["prompt_tokens"] as? Int == expected.utf8.count)
    let message = (chat["choices"] as? [[String: Any]])?.first?["message"] as? [String: Any]
    let text = (plain["choices"] as? [[String: Any]])?.first?["text"] as? String
    #expect(message?["content"] as? String == text)
  }

  /// A template that reads no calls fails at a message of calls alone; its error is of the message.
  @Test(arguments: [
    ("{{ messages[1].content.x }}", "messages.1.tool_calls", "does not read tool calls"),
    ("{{ messages[1].tool_calls.x.y }}", "messages", "chat template"),
    ("{{ raise_exception('no calls') }}", "messages", "no calls"),
  ])
  func callsThatNoTemplateReadsAreNamed(
    template: String, name: String, words: String
  ) async throws {
    let body = Array(
      #"""
      {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null,
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}]}
      """#.utf8)
    let error = await #expect(throws: APIError.self) { try await Self.api(template).chat(body) }
    #expect(error?.status == 400 && error?.param == name, "\(error?.message ?? "")")
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
  }

  /// Templates that go through the parts of a content get them; the choice of no tool hides tools.
  @Test func partsAndChoicesReachTheTemplate() async throws {
    let template =
      "{% for p in messages[0].content %}<{% if p.type == 'text' %}{{ p.text }}{% endif %}>{% endfor %}"
      + "{{ 'tools' if tools }}"
    let body = """
      {"messages": [{"role": "user", "content": [{"type": "text", "text": "ab"},
        {"type": "text", "text": "c"}]}], "tool_choice": "none", "max_tokens": 1,
       "tools": [{"type": "function", "function": {"name": "f"}}]}
      """
    let chat = try Self.object(try await Self.api(template).chat(Array(body.utf8)))
    #expect((chat["usage"] as? [String: Any])?["prompt_tokens"] as? Int == "<ab><c>".utf8.count)
  }

  /// The prompt ends within the last message, as transformers cuts it.
  @Test func theLastMessageIsContinued() async throws {
    let start = "{% for m in messages %}[{{ m.content "
    let end = "}}]{% endfor %}{{ 'A:' if add_generation_prompt }}"
    for (filter, field, prompt) in [
      ("", #", "continue_final_message": true"#, "[Hi][a "),
      ("| trim", #", "continue_final_message": true"#, "[Hi][a"),
      ("", #", "add_generation_prompt": false"#, "[Hi][a ]"), ("", "", "[Hi][a ]A:"),
    ] {
      let body = """
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a "}],
         "max_tokens": 1\(field)}
        """
      let api = try Self.api(start + filter + end)
      let chat = try Self.object(try await api.chat(Array(body.utf8)))
      let count = (chat["usage"] as? [String: Any])?["prompt_tokens"] as? Int
      #expect(count == prompt.utf8.count, "\(filter)\(field)")
    }
    let body =
      #"{"messages": [{"role": "assistant", "content": "a"}], "continue_final_message": true}"#
    let error = await #expect(throws: APIError.self) {
      try await Self.api("[{{ messages[0].content | upper | reverse }}]").chat(Array(body.utf8))
    }
    #expect(error?.status == 400 && error?.param == "messages")
  }

  /// Penalties change the tokens as their definitions say, worked out here from the model's logits.
  @Test(arguments: [
    (#", "repetition_penalty": 1.8"#, Float(1.8), Float(0), Float(0)),
    (#", "presence_penalty": 2"#, 1, 2, 0), (#", "frequency_penalty": 1.5"#, 1, 0, 1.5),
    (
      #", "repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": -0.7"#, 1.3, 0.5,
      -0.7
    ),
  ])
  func penaltiesAreApplied(
    field: String, repetition: Float, presence: Float, frequency: Float
  ) async throws {
    let served = try ServedModel()
    let api = ServerAPI(served.engine, model: "tiny")
    let prompt: [Int32] = [72, 101, 108, 108, 111]
    let body =
      #"{"prompt": [72, 101, 108, 108, 111], "temperature": 0, "max_tokens": 40, "return_token_ids": false\#(field)}"#
    var expected: [Int32] = []
    let session = InferenceSession(served.model)
    let sequence = try session.open()
    var unread = prompt
    while expected.count < 40 {
      var logits = try session.append(unread, to: sequence).array
      for id in logits.indices.prefix(257) {
        let count = expected.count { $0 == Int32(id) }
        if count > 0 || prompt.contains(Int32(id)) {
          logits[id] = logits[id] > 0 ? logits[id] / repetition : logits[id] * repetition
        }
        if count > 0 { logits[id] -= presence + Float(count) * frequency }
      }
      let id = Int32(logits.prefix(257).indices.max { (logits[$0], $1) < (logits[$1], $0) } ?? 0)
      expected.append(id)
      unread = [id]
    }
    var request = GenerationRequest(prompt: prompt, maxTokens: 40)
    request.sampling.repetitionPenalty = repetition
    request.sampling.presencePenalty = presence
    request.sampling.frequencyPenalty = frequency
    #expect(try await served.generate(request) == expected)
    let response = try Self.object(try await api.completions(Array(body.utf8)))
    let text = (response["choices"] as? [[String: Any]])?.first?["text"] as? String
    #expect(text == Tokenizer.bytes.decode(expected))
    // The penalty did something.
    #expect(try served.greedy(prompt, count: 40) != expected)
  }

  /// A bias of 100 forces a token and one of -100 forbids it; log-probabilities stay the model's.
  @Test func biasesAreApplied() async throws {
    let plain = try await Self.completion(#", "max_tokens": 8"#)
    let forced = try await Self.completion(#", "max_tokens": 8, "logit_bias": {"120": 100}"#)
    #expect(Self.tokens(forced) == [String](repeating: "x", count: 8))
    let first = try #require(Self.tokens(plain).first?.utf8.first)
    let forbidden = try await Self.completion(
      #", "max_tokens": 8, "logit_bias": {"\#(first)": -100}"#)
    #expect(!Self.tokens(forbidden).contains(String(UnicodeScalar(first))))
    let choice = (forced["choices"] as? [[String: Any]])?.first?["logprobs"] as? [String: Any]
    let logprobs = try #require(choice?["token_logprobs"] as? [Double])
    #expect(logprobs.allSatisfy { $0 < -0.01 })
  }

  /// Sequences end at given tokens, not before the least number of tokens, and at none if they ignore it.
  @Test func endsAreObeyed() async throws {
    let served = try ServedModel()
    let prompt: [Int32] = [72, 105]
    let plain = try served.greedy(prompt, count: 12)
    let end = plain[3]
    let before = Array(plain.prefix { $0 != end })
    let api = try Self.api(eosTokenIDs: [end])
    func reply(_ more: String, _ api: ServerAPI) async throws -> (tokens: Int, reason: String?) {
      let body = #"{"prompt": [72, 105], "temperature": 0, "max_tokens": 12\#(more)}"#
      let response = try Self.object(try await api.completions(Array(body.utf8)))
      let choice = (response["choices"] as? [[String: Any]])?.first
      let usage = response["usage"] as? [String: Any]
      return (usage?["completion_tokens"] as? Int ?? 0, choice?["finish_reason"] as? String)
    }
    #expect(try await reply("", api) == (before.count + 1, "stop"))
    #expect(try await reply(#", "ignore_eos": true"#, api) == (12, "length"))
    let least = try await reply(#", "min_tokens": 10"#, api)
    #expect(least.tokens >= 10)
    let other = ServerAPI(served.engine, model: "tiny")
    let stopped = try await reply(#", "stop_token_ids": [\#(end)]"#, other)
    #expect(stopped == (before.count + 1, "stop"))
    let later = try await reply(#", "stop_token_ids": [\#(end)], "min_tokens": 10"#, other)
    #expect(later.tokens >= 10)
  }

  /// A top-p of 0 takes the most probable token, whatever the temperature.
  @Test func topPOf0IsGreedy() async throws {
    let greedy = try await Self.completion(#", "max_tokens": 9"#)
    let body = #"{"prompt": "Hello", "logprobs": 0, "max_tokens": 9, "temperature": 2, "top_p": 0}"#
    let drawn = try Self.object(try await Self.shared.get().completions(Array(body.utf8)))
    #expect(Self.tokens(drawn) == Self.tokens(greedy))
  }

  /// Each prompt counts once.
  @Test(arguments: [1, 2, 4]) func usageCountsPromptsOnce(n: Int) async throws {
    // An engine of its own: sequences of other tests share what they read.
    let body = #"{"prompt": ["abc", "de"], "n": \#(n), "max_tokens": 2}"#
    let response = try Self.object(try await Self.api().completions(Array(body.utf8)))
    let usage = try #require(response["usage"] as? [String: Any])
    #expect(usage["prompt_tokens"] as? Int == 5)
    #expect(usage["completion_tokens"] as? Int == 4 * n)
    #expect(usage["total_tokens"] as? Int == 5 + 4 * n)
    let details = usage["prompt_tokens_details"] as? [String: Int]
    #expect(details?["cached_tokens"] == 0)
  }

  /// Prompts as llama.cpp's server reads them: a list with a number in it is one prompt.
  @Test(arguments: [
    (#"[72, "ell", 111]"#, [5]), (#"["a", [72, 105], ["bc", 100]]"#, [1, 2, 3]),
    (#"["ab", "c"]"#, [2, 1]), (#"[["ab", "c"]]"#, [3]),
  ])
  func promptsMixTextsAndTokens(prompt: String, counts: [Int]) async throws {
    let response = try await Self.completion(#", "max_tokens": 1"#, prompt: prompt)
    #expect((response["choices"] as? [Any])?.count == counts.count)
    let usage = response["usage"] as? [String: Any]
    #expect(usage?["prompt_tokens"] as? Int == counts.reduce(0, +))
  }

  @Test func unknownModelsAreNotFound() throws {
    let api = try Self.api()
    for id in ["tiny", "org/other"] {
      #expect(try Self.object(api.modelInfo(id))["id"] as? String == id)
    }
    let list = try Self.object(api.modelList())["data"] as? [[String: Any]]
    #expect(list?.map { $0["id"] as? String } == ["tiny", "org/other"])
    let error = #expect(throws: APIError.self) { try api.modelInfo("gpt-4o") }
    #expect(error?.status == 404 && error?.code == "model_not_found")
  }

  /// litellm and others know the error by these words, or by its code.
  @Test(arguments: [false, true]) func longPromptsAreRecognized(isChat: Bool) async throws {
    let text = String(repeating: "a", count: 700)
    let prompt =
      isChat ? #""messages": [{"role": "user", "content": "\#(text)"}]"# : #""prompt": "\#(text)""#
    let error = await #expect(throws: APIError.self) {
      let api = try Self.shared.get()
      let body = Array("{\(prompt)}".utf8)
      _ = isChat ? try await api.chat(body) : try await api.completions(body)
    }
    #expect(error?.status == 400 && error?.code == "context_length_exceeded")
    #expect(error?.message.hasPrefix("This model's maximum context length is 600 tokens.") == true)
    #expect(error?.param == (isChat ? "messages" : "prompt"))
  }

  /// Bodies as Python's `json` reads them.
  @Test func bodiesAreRead() async throws {
    let twice = try await Self.completion(#", "max_tokens": 1, "max_tokens": 3"#)
    #expect((twice["usage"] as? [String: Any])?["completion_tokens"] as? Int == 3)
    for (body, code, words) in [
      (#"{"prompt": "a",}"#, "invalid_json", "a key in quotes"),
      (#"{"prompt": ["a",]}"#, "invalid_json", "a value"),
      (#"{"prompt": "a"} x"#, "invalid_json", "the end"),
      (#"{"prompt": "\ud800"}"#, "invalid_value", "surrogate pair"),
      (#"{"prompt": "\ud800\u0041"}"#, "invalid_value", "surrogate pair"),
      (#"{"prompt": 01}"#, "invalid_json", "zero"), ("{'prompt': 1}", "invalid_json", "quotes"),
      ("{\"prompt\": \"a\u{1}\"}", "invalid_json", "control"),
    ] {
      let error = await #expect(throws: APIError.self) {
        try await Self.shared.get().completions(Array(body.utf8))
      }
      #expect(error?.status == 400 && error?.code == code, "\(body): \(error?.message ?? "")")
      #expect(error?.message.contains(words) == true, "\(body): \(error?.message ?? "")")
    }
  }
}
