import Synchronization

/// Counts of an engine's work.
final class EngineMetrics: Sendable {
  private let values = Mutex(Values())

  private struct Values {
    var running = 0
    var queued = 0
    var cache = (used: 0, total: 1)
    var promptTokens = 0
    var sharedTokens = 0
    var generatedTokens = 0
    var requests = 0
    var rejections = 0
    var firstToken = Histogram([
      0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
    ])
    var betweenTokens = Histogram([
      0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5,
    ])
    var wholeRequest = Histogram([
      0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960,
    ])
  }

  func setRunning(_ count: Int) { values.withLock { $0.running = count } }
  func setQueued(_ count: Int) { values.withLock { $0.queued = count } }
  func setCache(_ blocks: (used: Int, total: Int)) { values.withLock { $0.cache = blocks } }
  func countPrompt(_ tokens: Int) { values.withLock { $0.promptTokens += tokens } }
  func countShared(_ tokens: Int) { values.withLock { $0.sharedTokens += tokens } }
  func countRejection() { values.withLock { $0.rejections += 1 } }

  func countFirstToken(seconds: Double) {
    values.withLock {
      $0.generatedTokens += 1
      $0.firstToken.add(seconds)
    }
  }

  func countToken(secondsSinceLast seconds: Double) {
    values.withLock {
      $0.generatedTokens += 1
      $0.betweenTokens.add(seconds)
    }
  }

  func countRequest(seconds: Double) {
    values.withLock {
      $0.requests += 1
      $0.wholeRequest.add(seconds)
    }
  }

  /// All metrics in Prometheus's exposition format, labeled with the model's name.
  func exposition(model: String) -> String {
    let values = values.withLock { $0 }
    let label = "model_name=\"\(Self.escaped(model))\""
    var lines = ""
    func add(_ name: String, _ type: String, _ help: String, _ value: some Numeric) {
      lines += "# HELP mglu:\(name) \(help)\n# TYPE mglu:\(name) \(type)\n"
      lines += "mglu:\(name){\(label)} \(value)\n"
    }
    add("num_requests_running", "gauge", "Sequences that run.", values.running)
    add("num_requests_waiting", "gauge", "Sequences that wait.", values.queued)
    add("kv_cache_blocks", "gauge", "Blocks of the key-value cache.", values.cache.total)
    add("kv_cache_blocks_used", "gauge", "Blocks that sequences have.", values.cache.used)
    let usage = Double(values.cache.used) / Double(max(1, values.cache.total))
    add("kv_cache_usage_perc", "gauge", "The share of blocks that sequences have.", usage)
    add("prompt_tokens_total", "counter", "Tokens of prompts.", values.promptTokens)
    add("prefix_cache_queries_total", "counter", "Tokens of prompts.", values.promptTokens)
    add(
      "prefix_cache_hits_total", "counter", "Tokens of prompts that another sequence had read.",
      values.sharedTokens)
    add("generation_tokens_total", "counter", "Tokens generated.", values.generatedTokens)
    add("request_success_total", "counter", "Requests answered in full.", values.requests)
    add("request_rejected_total", "counter", "Requests refused.", values.rejections)
    lines += values.firstToken.exposition(
      "mglu:time_to_first_token_seconds", "From arrival to the first token.", label)
    lines += values.betweenTokens.exposition(
      "mglu:inter_token_latency_seconds", "From a token to the next.", label)
    lines += values.wholeRequest.exposition(
      "mglu:e2e_request_latency_seconds", "From arrival to the last token.", label)
    return lines
  }

  private static func escaped(_ label: String) -> String {
    label.reduce(into: "") { result, character in
      switch character {
      case "\\": result += "\\\\"
      case "\"": result += "\\\""
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
  }
}
