import Synchronization

/// Counts of an engine's work.
final class EngineMetrics: Sendable {
  private let values: Mutex<Values>

  /// Those of a replica.
  private struct Replica {
    var running = 0
    var cache = (used: 0, total: 0)
    var promptTokens = 0
    var sharedTokens = 0
    var generatedTokens = 0
  }

  private struct Values {
    var replicas: [Replica]
    var queued = 0
    var requests = 0
    var rejections = 0
    /// Accepted requests that failed, by reason.
    var failures: [FailureReason: Int] = [:]
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

  /// Metrics of an engine of so many replicas.
  init(replicas count: Int) {
    values = Mutex(Values(replicas: Array(repeating: Replica(), count: count)))
  }

  func setQueued(_ count: Int) { values.withLock { $0.queued = count } }
  func countRejection() { values.withLock { $0.rejections += 1 } }

  /// Why accepted requests fail, as the metrics say it.
  private enum FailureReason: String, CaseIterable {
    case device, timeout
    case notFinite = "not_finite"
    case other
  }

  /// Counts a request that failed after it was accepted. One that is displaced from the queue is a
  /// rejection.
  func countFailure(_ problem: ServingProblem) {
    let reason: FailureReason
    switch problem {
    case .queueFull: return
    case .device: reason = .device
    case .timeout: reason = .timeout
    case .notFinite: reason = .notFinite
    case .emptyPrompt, .contextLength, .tokenID, .sampling, .draining, .memory, .settings:
      reason = .other
    }
    values.withLock { $0.failures[reason, default: 0] += 1 }
  }

  func setRunning(_ count: Int, of replica: Int) {
    values.withLock { $0.replicas[replica].running = count }
  }

  func setCache(_ blocks: (used: Int, total: Int), of replica: Int) {
    values.withLock { $0.replicas[replica].cache = blocks }
  }

  func countPrompt(_ tokens: Int, of replica: Int) {
    values.withLock { $0.replicas[replica].promptTokens += tokens }
  }

  func countShared(_ tokens: Int, of replica: Int) {
    values.withLock { $0.replicas[replica].sharedTokens += tokens }
  }

  func countFirstToken(seconds: Double, of replica: Int) {
    values.withLock {
      $0.replicas[replica].generatedTokens += 1
      $0.firstToken.add(seconds)
    }
  }

  func countToken(secondsSinceLast seconds: Double, of replica: Int) {
    values.withLock {
      $0.replicas[replica].generatedTokens += 1
      $0.betweenTokens.add(seconds)
    }
  }

  func countRequest(seconds: Double) {
    values.withLock {
      $0.requests += 1
      $0.wholeRequest.add(seconds)
    }
  }

  /// All metrics in Prometheus's exposition format, labeled with the model's name: sums of all replicas, and
  /// where there are several, their parts.
  func exposition(model: String) -> String {
    let values = values.withLock { $0 }
    let label = "model_name=\"\(Self.escaped(model))\""
    var lines = ""
    func add(_ name: String, _ type: String, _ help: String, _ samples: [(String, String)]) {
      lines += "# HELP mglu:\(name) \(help)\n# TYPE mglu:\(name) \(type)\n"
      for (label, value) in samples { lines += "mglu:\(name){\(label)} \(value)\n" }
    }
    func add(_ name: String, _ type: String, _ help: String, _ value: some Numeric) {
      add(name, type, help, [(label, "\(value)")])
    }
    /// A sum, and its parts under a name of their own: whoever adds up a name must not count twice.
    func add(
      _ name: String, _ type: String, _ help: String, sumOf part: (Replica) -> Int
    ) {
      add(name, type, help, values.replicas.reduce(0) { $0 + part($1) })
      guard values.replicas.count > 1 else { return }
      add(
        "replica_" + name, type, help,
        values.replicas.enumerated().map { index, replica in
          ("\(label),replica=\"\(index)\"", "\(part(replica))")
        })
    }
    add("num_requests_running", "gauge", "Sequences that run, one for each choice.") {
      $0.running
    }
    add("num_requests_waiting", "gauge", "Sequences that wait.", values.queued)
    add("kv_cache_blocks", "gauge", "Blocks of the key-value cache.") { $0.cache.total }
    add("kv_cache_blocks_used", "gauge", "Blocks that sequences have.") { $0.cache.used }
    let blocks = values.replicas.reduce(into: (used: 0, total: 0)) {
      $0 = ($0.used + $1.cache.used, $0.total + $1.cache.total)
    }
    let usage = Double(blocks.used) / Double(max(1, blocks.total))
    add("kv_cache_usage_perc", "gauge", "The share of blocks that sequences have.", usage)
    add("prompt_tokens_total", "counter", "Tokens of prompts.") { $0.promptTokens }
    add("prefix_cache_queries_total", "counter", "Tokens of prompts.") { $0.promptTokens }
    add(
      "prefix_cache_hits_total", "counter", "Tokens of prompts that another sequence had read."
    ) { $0.sharedTokens }
    add("generation_tokens_total", "counter", "Tokens generated.") { $0.generatedTokens }
    add("request_success_total", "counter", "Requests answered in full.", values.requests)
    add("request_rejected_total", "counter", "Requests refused.", values.rejections)
    add(
      "request_failed_total", "counter", "Requests that failed after they were accepted.",
      FailureReason.allCases.map { reason in
        ("\(label),reason=\"\(reason.rawValue)\"", "\(values.failures[reason, default: 0])")
      })
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
