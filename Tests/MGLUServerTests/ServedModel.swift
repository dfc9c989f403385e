import Foundation
import MGLUModel
import MGLUServer

/// A small model of bytes that never ends a text by itself, and an engine over it.
struct ServedModel {
  let model: InferenceModel
  let engine: Engine

  /// A damaged one has no weight that is a number.
  init(
    settings: EngineSettings = .init(), context: Int = 600, end: [Int32] = [],
    isDamaged: Bool = false
  ) throws {
    let model = try LanguageModel(
      ModelConfiguration(
        vocabularySize: 257, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 8),
        feedForward: .init(hiddenSize: 16, intermediateSize: 24, unit: .masked(.init(count: 2))),
        contextLength: context, eosTokenIDs: end), on: CPUBackend(threads: 1))
    model.initialize(seed: 2)
    for parameter in model.namedParameters where isDamaged {
      parameter.tensor.assign(repeatElement(.nan, count: parameter.tensor.count))
    }
    self.model = try InferenceModel(model, weights: .bfloat16, precision: .reduced)
    engine = try Engine(self.model, tokenizer: .bytes, settings: settings)
  }

  /// The tokens that follow `prompt` when nothing else runs and no batch is involved.
  func greedy(_ prompt: [Int32], count: Int) throws -> [Int32] {
    let session = DecodingSession(model)
    var unread = prompt
    var ids: [Int32] = []
    let choice = SamplingStep(temperature: 0, topK: 0, topP: 1, minP: 0, uniform: 0)
    while ids.count < count {
      let id = try session.append(unread, choosing: choice)
      ids.append(id)
      unread = [id]
    }
    return ids
  }

  /// All that happens to a request.
  func events(_ texts: [TextRequest]) async throws -> [RequestEvent] {
    var events: [RequestEvent] = []
    for await event in try engine.submit(texts).events { events.append(event) }
    return events
  }

  /// The value of the metric `name`.
  func metric(_ name: String) -> Int? { ServerAPI(engine, model: "tiny").metric(name) }

  /// Waits until the metric `name` is `value`.
  func wait(until name: String, is value: Int) throws {
    try ServerAPI(engine, model: "tiny").wait(until: name, is: value)
  }

  /// The tokens that the engine writes.
  func written(_ text: TextRequest) async throws -> [Int32] { try await events([text]).ids(of: 0) }
}

extension [RequestEvent] {
  /// The tokens written of the text `index`.
  func ids(of index: Int) -> [Int32] {
    compactMap { event in
      guard case .text(index, .token(let id, _, _)) = event else { return nil }
      return id
    }
  }

  /// The scores of the prompt of the text `index`.
  func promptScores(of index: Int) -> [TokenLogprob] {
    for case .text(index, .prompt(let scores)) in self { return scores }
    return []
  }

  /// The whole text `index`.
  func text(of index: Int) -> String {
    reduce(into: "") { result, event in
      switch event {
      case .text(index, .token(_, let text, _)): result += text
      case .text(index, .finished(let text, _)): result += text
      default: break
      }
    }
  }

  /// Why the text `index` ended.
  func reason(of index: Int) -> FinishReason? {
    for case .text(index, .finished(_, let reason)) in self { return reason }
    return nil
  }

  /// What ended the request in place of an answer.
  var failure: APIError? {
    for case .failed(let error) in self { return error }
    return nil
  }
}

extension ServerAPI {
  /// The value of the metric `name`.
  func metric(_ name: String) -> Int? {
    guard case .text(let text, _) = metrics() else { return nil }
    let start = "mglu:\(name){"
    let line = text.split(separator: "\n").first { $0.hasPrefix(start) }
    return line?.split(separator: " ").last.flatMap { Int($0) }
  }

  /// Waits until the metric `name` is `value`. No other task has to run for that: where many tests
  /// run at once, that may take longer than a text does, and a request may wait for minutes.
  func wait(until name: String, is value: Int) throws {
    let begin = ContinuousClock.now
    while metric(name) != value {
      guard ContinuousClock.now - begin < .seconds(600) else { throw TimeOut() }
      usleep(1000)
    }
  }

  struct TimeOut: Error {}
}
