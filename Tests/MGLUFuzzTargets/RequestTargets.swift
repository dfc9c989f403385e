import Foundation
import MGLUServerAPI
import MGLUServingTestSupport
import Synchronization

/// Requests to the API.
enum RequestTargets {
  private static let engine: Engine? = try? ServedModel(
    settings: .init(maxSequences: 4, maxQueued: 8, timeLimit: .seconds(20)), contextLength: 96
  ).engine

  /// APIs without a template, and with some that look at all of a chat.
  static let apis: [ServerAPI] = {
    guard let engine else { return [] }
    let sources = [
      nil,
      """
      {% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls %}\
      {{ c.function.name ~ c.function.arguments | tojson }}{% endfor %}{% endfor %}A:
      """,
      """
      {{ tools | tojson }}{{ messages | map(attribute='content') | join(',') }}{{ thinking }}{{ messages \
      | tojson(indent=1) }}
      """,
    ]
    return sources.map {
      ServerAPI(
        engine, model: "tiny", template: ChatTemplate(source: $0, specialTokens: ["eos_token": "$"])
      )
    }
  }()

  enum Route: CaseIterable { case completions, chat, tokenize, detokenize }

  /// The first byte chooses the route.
  static func body(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let first = bytes.first else { return }
    try send(Array(bytes.dropFirst()), to: Route.allCases[Int(first) % 4], template: Int(first) / 4)
  }

  static func request(_ bytes: [UInt8]) throws(FuzzFinding) {
    var choices = ByteChoices(bytes)
    let route = choices.pick(Route.allCases)
    let body = GeneratedRequest.body(&choices, route)
    try send(Array(body.utf8), to: route, template: choices.number(below: 3))
  }

  static func chat(_ bytes: [UInt8]) throws(FuzzFinding) {
    var choices = ByteChoices(bytes)
    let template = choices.number(below: 3)
    try send(Array(GeneratedRequest.chat(&choices).utf8), to: .chat, template: template)
  }

  private static func send(
    _ body: [UInt8], to route: Route, template: Int
  ) throws(FuzzFinding) {
    guard !apis.isEmpty else { throw FuzzFinding("no engine") }
    let api = apis[template % apis.count]
    let problem = Mutex<String?>(nil)
    let done = DispatchSemaphore(value: 0)
    Task.detached {
      let found = await Self.problem(api, route, body)
      problem.withLock { $0 = found }
      done.signal()
    }
    done.wait()
    if let found = problem.withLock({ $0 }) { throw FuzzFinding(found) }
  }

  /// What is wrong with a response, if anything.
  private static func problem(_ api: ServerAPI, _ route: Route, _ body: [UInt8]) async -> String? {
    func isJSON(_ text: some StringProtocol) -> Bool {
      (try? JSONSerialization.jsonObject(with: Data(text.utf8))) != nil
    }
    do throws(APIError) {
      let reply =
        switch route {
        case .completions: try await api.completions(body)
        case .chat: try await api.chat(body)
        case .tokenize: try await api.tokenize(body)
        case .detokenize: try await api.detokenize(body)
        }
      switch reply {
      case .json(let text): return isJSON(text) ? nil : "no JSON: \(text)"
      case .body: return nil
      case .events(_, let send):
        let text = Mutex("")
        do { try await send { part in text.withLock { $0 += part } } } catch { return "\(error)" }
        let events = text.withLock { $0 }
        for line in events.split(separator: "\n") where line.hasPrefix("data: {") {
          guard isJSON(line.dropFirst(6)) else { return "no JSON: \(line)" }
        }
        let hasEnd = events.hasSuffix("data: [DONE]\n\n") || events.contains("\"error\"")
        return hasEnd ? nil : "events without an end: \(events.suffix(300))"
      }
    } catch {
      return (400..<500).contains(error.status) ? nil : "\(error.status): \(error.message)"
    }
  }
}
