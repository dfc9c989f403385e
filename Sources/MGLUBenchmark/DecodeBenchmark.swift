import MGLUModel

/// Times prefill and decoding beside the memory bandwidth of the same moments.
///
/// As llama-bench does: a prompt is read at once into an empty cache (`pp`), and tokens are
/// written one by one from an empty cache (`tg`). Models take turns in an order drawn anew for
/// each repetition, each between two readings of the bandwidth.
package struct DecodeBenchmark {
  /// A model and its name in the table.
  package struct Entry {
    let name: String
    let model: InferenceModel

    /// A model under `name`.
    package init(name: String, model: InferenceModel) {
      (self.name, self.model) = (name, model)
    }
  }

  /// One test of one model.
  package struct Result: Sendable, Encodable {
    package let model: String
    package let weights: String
    package let sizeBytes: Int
    package let parameters: Int
    package let test: String
    package let tokensPerS: Double
    package let msPerToken: Double
    package let standardDeviation: Double
    /// The bound of the memory bandwidth; arithmetic bounds prefill instead.
    package let predictedTokensPerS: Double?
    package let percentOfPrediction: Double?
    /// Over the first model.
    package let speedup: Double
  }

  private let entries: [Entry]
  private let target: BenchmarkTarget
  private let promptTokens: Int
  private let writtenTokens: Int
  private let repetitions: Int

  /// A benchmark of models on one backend; `init` cuts prompts and sequences to the context.
  package init(
    _ entries: [Entry], promptTokens: Int, writtenTokens: Int, repetitions: Int,
    on target: BenchmarkTarget
  ) {
    let context = entries.map(\.model.configuration.contextLength).min() ?? 0
    self.entries = entries
    self.target = target
    self.promptTokens = min(promptTokens, context)
    self.writtenTokens = min(writtenTokens, context)
    self.repetitions = repetitions
  }

  /// Read bandwidth in GB/s, and the tests of each model.
  package func run() throws -> (readGBPerS: Double, results: [Result]) {
    let sessions = entries.map {
      InferenceSession($0.model, contextLength: max(promptTokens, writtenTokens))
    }
    // Of the weights themselves: memory need not be as fast everywhere.
    let readings = try entries.map { try target.reading(of: [$0.model.matrices]) }
    func bandwidth(_ index: Int) throws -> Double {
      let reading = readings[index]
      return Double(reading.byteCount) / (try reading.microseconds(0) * 1e-6)
    }
    var prompt = entries.map { _ in [Double]() }
    var written = prompt
    var shares = prompt
    var reads: [Double] = []
    // The first repetition warms up.
    for repetition in 0...repetitions {
      for index in entries.indices.shuffled() {
        let session = sessions[index]
        let read = try self.read(session)
        let before = try bandwidth(index)
        let write = try self.write(session)
        let memory = (before + (try bandwidth(index))) / 2
        guard repetition > 0 else { continue }
        reads.append(memory)
        prompt[index].append(read)
        written[index].append(write)
        shares[index].append(write / (memory / bytesPerToken(entries[index])))
      }
    }
    let results = entries.indices.flatMap { index in
      [
        result(index, "pp\(promptTokens)", prompt, shares: nil),
        result(index, "tg\(writtenTokens)", written, shares: shares[index]),
      ]
    }
    return (reads.median / 1e9, results)
  }

  /// Tokens/s of the prefill of a prompt.
  private func read(_ session: InferenceSession) throws -> Double {
    let id = try session.open()
    defer { session.remove(id) }
    let vocabulary = session.model.configuration.vocabularySize
    let tokens = (0..<promptTokens).map { Int32($0 * 7 % vocabulary) }
    return try Double(promptTokens) / seconds { _ = try session.append(tokens, to: id) }
  }

  /// Tokens/s of greedy decoding.
  private func write(_ session: InferenceSession) throws -> Double {
    try Double(writtenTokens) / seconds { try session.generateGreedily(writtenTokens) }
  }

  /// Weights, masks and the mean of the cache that a written token reads.
  private func bytesPerToken(_ entry: Entry) -> Double {
    let c = entry.model.configuration
    let cache = 2 * 4 * c.layers * c.attention.kvWidth
    return Double(entry.model.byteCountPerToken) + Double(cache) * Double(writtenTokens + 1) / 2
  }

  private func seconds(_ body: () throws -> Void) rethrows -> Double {
    try ContinuousClock().measure(body) / .seconds(1)
  }

  private func result(
    _ index: Int, _ test: String, _ speeds: [[Double]], shares: [Double]?
  ) -> Result {
    let (entry, own) = (entries[index], speeds[index])
    let mean = own.reduce(0, +) / Double(own.count)
    let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, own.count - 1))
    return Result(
      model: entry.name, weights: entry.model.weightType.rawValue,
      sizeBytes: entry.model.byteCountPerToken,
      parameters: entry.model.configuration.weightCount, test: test, tokensPerS: mean,
      msPerToken: 1000 / mean, standardDeviation: variance.squareRoot(),
      predictedTokensPerS: shares.map { mean / $0.median },
      percentOfPrediction: shares.map { 100 * $0.median },
      speedup: zip(own, speeds[0]).map { $0 / $1 }.median)
  }
}

extension [Double] {
  /// The middle of the sorted numbers.
  var median: Double { sorted()[count / 2] }
}
