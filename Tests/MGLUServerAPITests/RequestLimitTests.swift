import Foundation
import MGLUServerAPI
import MGLUServingTestSupport
import Testing

/// A short request cannot ask for more memory or time than the documented limits.
@Suite struct RequestLimitTests {
  /// An API whose engine ends: what is within the limits has status 503, and computes nothing.
  private static let ending = Result {
    let engine = try ServedModel().engine
    engine.drain()
    return ServerAPI(engine, model: "tiny")
  }

  private static func error(_ body: String, isChat: Bool = false) async throws -> APIError? {
    let bytes = Array(body.utf8)
    let api = try ending.get()
    return await #expect(throws: APIError.self) {
      _ = isChat ? try await api.chat(bytes) : try await api.completions(bytes)
    }
  }

  /// At the limit of 2^20 log-probabilities, and with one token more. Tokens beyond the context do not count.
  @Test(arguments: [
    (255, 1, 1024, 3, true), (256, 1, 1024, 3, false), (255, 2, 1024, 3, false),
    (500, 1, 1024, 20, false), (500, 100, 102, 20, false), (1, 1023, 1024, 0, true),
  ])
  func logprobsAreLimited(
    prompt: Int, maxTokens: Int, n: Int, logprobs: Int, isAccepted: Bool
  ) async throws {
    let ids = [Int](repeating: 7, count: prompt)
    let error = try await Self.error(
      """
      {"prompt": \(ids), "echo": true, "logprobs": \(logprobs), "n": \(n), "max_tokens": \(maxTokens)}
      """)
    #expect(error?.status == (isAccepted ? 503 : 400))
    guard !isAccepted else { return }
    #expect(error?.param == "logprobs")
    let tokens = n * (prompt + min(maxTokens, 601 - prompt))
    for words in ["\(n) choices", "\(tokens) tokens", "\(logprobs + 1) log", "1048576", "echo"] {
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
  }

  /// A prompt that is not echoed has no log-probabilities; a chat goes on to the end of the context.
  @Test func onlyTokensWithLogprobsCount() async throws {
    let ids = [Int](repeating: 7, count: 500)
    let plain = try await Self.error(
      #"{"prompt": \#(ids), "logprobs": 20, "n": 1024, "max_tokens": 1}"#)
    #expect(plain?.status == 503)
    let echoed = try await Self.error(
      #"{"prompt": \#(ids), "echo": true, "n": 1024, "max_tokens": 1}"#)
    #expect(echoed?.status == 503)
    let messages = #""messages": [{"role": "user", "content": "Hi"}], "logprobs": true"#
    let one = try await Self.error(#"{\#(messages), "top_logprobs": 20}"#, isChat: true)
    #expect(one?.status == 503)
    let many = try await Self.error(
      #"{\#(messages), "top_logprobs": 20, "n": 1000}"#, isChat: true)
    #expect(many?.status == 400 && many?.param == "top_logprobs")
    #expect(many?.message.contains("echo") == false)
  }

  /// 1,024 times a prompt of 64 KiB are the 64 MiB that an echo may have.
  @Test(arguments: [0, 1]) func echoesAreLimited(extra: Int) async throws {
    let engine = try ServedModel(settings: .init(maxSequences: 1), contextLength: 70_000).engine
    engine.drain()
    let text = String(repeating: "a", count: 1 << 16 + extra)
    let body = Array(#"{"prompt": "\#(text)", "echo": true, "n": 1024, "max_tokens": 1}"#.utf8)
    let error = await #expect(throws: APIError.self) {
      try await ServerAPI(engine, model: "tiny").completions(body)
    }
    #expect(error?.status == (extra == 0 ? 503 : 400))
    #expect(error?.message.contains("67109888 bytes") == (extra == 1), "\(error?.message ?? "")")
  }

  /// 1,025 biases, 1,025 ids or 65,537 bytes are one too many.
  @Test func biasesAndStopsAreLimited() async throws {
    func list(_ count: Int) -> String { (0..<count).map { "\"\($0)\": 1" }.joined(separator: ", ") }
    // The model has 257 tokens; more entries than that are refused for their number.
    for (field, param, words) in [
      (#""logit_bias": {\#(list(1025))}"#, "logit_bias", "1025 entries: expected at most 1024"),
      (
        #""stop_token_ids": \#([Int](repeating: 3, count: 1025))"#, "stop_token_ids",
        "1025 ids: expected at most 1024"
      ),
      (
        #""stop": ["\#(String(repeating: "é", count: 1 << 15))", "a"]"#, "stop",
        "65537 bytes in all: expected at most 65536"
      ),
    ] {
      let error = try await Self.error(#"{"prompt": "a", \#(field)}"#)
      #expect(error?.status == 400 && error?.param == param)
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
    for field in [
      #""logit_bias": {\#(list(257))}"#,
      #""stop_token_ids": \#([Int](repeating: 3, count: 1024))"#,
      #""stop": ["\#(String(repeating: "é", count: 1 << 15))", ""]"#,
    ] {
      let error = try await Self.error(#"{"prompt": "a", \#(field)}"#)
      #expect(error?.status == 503, "\(error?.message ?? "")")
    }
  }

  /// A token of a byte may be spelled twice, as text and as a piece.
  @Test func spellingsOfTokensAreLimited() async throws {
    let text = String(repeating: "a", count: 1 << 19 + 1)
    let api = try Self.ending.get()
    func tokenize(_ more: String) async throws -> Int {
      let body = Array(#"{"content": "\#(text)"\#(more)}"#.utf8)
      guard case .json(let json) = try await api.tokenize(body) else { return 0 }
      return json.utf8.count
    }
    #expect(try await tokenize("") > 1 << 20)
    let error = await #expect(throws: APIError.self) {
      try await tokenize(#", "with_pieces": true, "return_token_strs": true"#)
    }
    #expect(error?.status == 400)
    #expect(error?.message.contains("\(text.utf8.count) tokens, spelled in 2 forms") == true)
  }
}
