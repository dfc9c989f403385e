package import MGLUServing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A small model of bytes that has no EOS token by default, and an engine over it.
package struct ServedModel {
  package let model: InferenceModel
  package let engine: Engine

  /// All weights of a damaged model are NaN. The engine has replicas on CPUs of one thread, or one on each of
  /// `devices`.
  package init(
    settings: EngineSettings = .init(), contextLength: Int = 600, eosTokenIDs: [Int32] = [],
    isDamaged: Bool = false, replicas: Int = 1, devices: [any InferenceBackend] = []
  ) throws {
    let trained = try LanguageModel(
      ModelConfiguration(
        vocabularySize: 257, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 8),
        feedForward: .init(hiddenSize: 16, intermediateSize: 24, unit: .mglu(.init(count: 2))),
        contextLength: contextLength, eosTokenIDs: eosTokenIDs), on: CPUBackend(threads: 1))
    trained.initialize(seed: 2)
    for parameter in trained.namedParameters where isDamaged {
      parameter.tensor.assign(repeatElement(.nan, count: parameter.tensor.count))
    }
    var models = try devices.map {
      try InferenceModel(
        trained.configuration, from: trained, weights: .bfloat16, precision: .reduced, on: $0)
    }
    if models.isEmpty {
      models = [try InferenceModel(trained, weights: .bfloat16, precision: .reduced)]
      for _ in 1..<replicas { models.append(try models[0].replica(on: CPUBackend(threads: 1))) }
    }
    model = models[0]
    engine = try Engine(
      model, replicas: Array(models.dropFirst()), tokenizer: .bytes, settings: settings)
  }

  /// The tokens that follow `prompt`, of the largest logits of a sequence that is fed token by token:
  /// without an engine, a batch or sampling.
  package func greedy(_ prompt: [Int32], count: Int) throws -> [Int32] {
    let session = InferenceSession(model)
    let sequence = try session.open()
    var unread = prompt
    var ids: [Int32] = []
    while ids.count < count {
      let logits = try session.append(unread, to: sequence).array
      let id = Int32(logits.indices.max { (logits[$0], $1) < (logits[$1], $0) } ?? 0)
      ids.append(id)
      unread = [id]
    }
    return ids
  }

  /// All events of a request, and the error that ended it.
  package func record(
    _ sequences: [GenerationRequest], stopSequences: [String] = []
  ) async throws(ServingError) -> RecordedEvents {
    await RecordedEvents(try engine.submit(sequences, stopSequences: stopSequences))
  }

  /// The tokens that the engine generates.
  package func generate(_ sequence: GenerationRequest) async throws(ServingError) -> [Int32] {
    try await record([sequence]).ids(of: 0)
  }
}

/// What has happened to a request.
package struct RecordedEvents {
  package private(set) var all: [RequestHandle.Element] = []
  /// The error that ended the request.
  package private(set) var error: ServingError?

  /// Receives all events of `request`.
  package init(_ request: RequestHandle) async {
    do throws(ServingError) {
      for try await event in request { all.append(event) }
    } catch {
      self.error = error
    }
  }

  /// The generated tokens of a sequence.
  package func ids(of sequence: Int) -> [Int32] {
    all.compactMap { event in
      guard case (sequence, .token(let id, _, _)) = event else { return nil }
      return id
    }
  }

  /// The log-probabilities of generated tokens of a sequence.
  package func logprobs(of sequence: Int) -> [TokenLogprob] {
    all.compactMap { event in
      guard case (sequence, .token(_, _, let logprob)) = event else { return nil }
      return logprob
    }
  }

  /// The prompt's tokens of a sequence, or `nil` if its prompt was not read.
  package func promptLogprobs(of sequence: Int) -> [TokenLogprob]? {
    for case (sequence, .prompt(let logprobs, _)) in all { return logprobs }
    return nil
  }

  /// The whole text of a sequence.
  package func text(of sequence: Int) -> String {
    all.reduce(into: "") { result, event in
      switch event {
      case (sequence, .token(_, let text, _)), (sequence, .finished(let text, _)): result += text
      default: break
      }
    }
  }

  /// Why a sequence ended.
  package func finishReason(of sequence: Int) -> FinishReason? {
    for case (sequence, .finished(_, let reason)) in all { return reason }
    return nil
  }
}

extension Engine {
  /// The value of the metric `name`, of all or of one replica.
  package func metric(_ name: String, of replica: Int? = nil) -> Int? {
    let start =
      replica.map { "mglu:replica_\(name){model_name=\"tiny\",replica=\"\($0)\"}" }
      ?? "mglu:\(name){"
    let line = prometheusMetrics(model: "tiny").split(separator: "\n").first { $0.hasPrefix(start) }
    return line?.split(separator: " ").last.flatMap { Int($0) }
  }

  /// Waits until the metric `name` is `value`.
  package func wait(until name: String, of replica: Int? = nil, is value: Int) throws {
    try wait { metric(name, of: replica) == value }
  }

  /// Waits until something is so. Blocks the thread: while many tests run at once, a task may have to wait
  /// for minutes until it runs, and miss what it waits for.
  package func wait(until isSo: () -> Bool) throws {
    let start = ContinuousClock.now
    while !isSo() {
      guard ContinuousClock.now - start < .seconds(600) else { throw WaitingTimeout() }
      usleep(1000)
    }
  }

  private struct WaitingTimeout: Error {}
}
