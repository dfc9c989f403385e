import MGLUModel

/// Times prefill and decoding beside the memory bandwidth of the same moments.
///
/// As llama-bench does: a prompt is read at once into an empty cache (`pp`), and tokens are
/// written one by one from an empty cache (`tg`). Models take turns in an order drawn anew for
/// each repetition, each between two readings of the bandwidth. Steps of many sequences at a position
/// (`tg@`) are timed one model after the other (`DecodeBenchmark+Batches.swift`).
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
    /// The sequences side by side.
    package let batch: Int
    package let tokensPerS: Double
    package let msPerToken: Double
    package let standardDeviation: Double
    /// The bound of the memory bandwidth; arithmetic bounds prefill instead.
    package let predictedTokensPerS: Double?
    package let percentOfPrediction: Double?
    /// What bytes, at the read bandwidth, and arithmetic, at the rate of a large product, allow; of a
    /// prompt `nil` where that rate is no bound.
    package let boundTokensPerS: Double?
    /// Over the first model.
    package let speedup: Double
  }

  let entries: [Entry]
  let target: BenchmarkTarget
  private let promptTokens: [Int]
  private let writtenTokens: Int
  let batches: [Int]
  let position: Int
  let repetitions: Int
  /// Floating-point operations a second of a large product, where that bounds steps.
  let productRate: Double?

  /// A benchmark of models on one backend; `init` cuts prompts and sequences to the context.
  ///
  /// - Parameters:
  ///   - entries: The models.
  ///   - promptTokens: The lengths of prompts.
  ///   - writtenTokens: How many tokens are written one by one.
  ///   - batches: Numbers of sequences whose steps are timed side by side.
  ///   - position: The position at which they are.
  ///   - repetitions: How often everything is timed.
  ///   - target: The device.
  package init(
    _ entries: [Entry], promptTokens: [Int], writtenTokens: Int, batches: [Int] = [],
    position: Int = 512, repetitions: Int, on target: BenchmarkTarget
  ) throws {
    let context = entries.map(\.model.configuration.contextLength).min() ?? 0
    if let length = (promptTokens + [writtenTokens]).first(where: { $0 > context }) {
      throw GenerationError(
        .contextLength, "\(length) tokens do not fit a context of \(context)",
        remedy: "time a shorter prompt, or fewer written tokens")
    }
    self.entries = entries
    self.target = target
    (self.batches, self.position) = (batches, position)
    productRate = try StepBound.productRate(on: target.backend)
    self.promptTokens = promptTokens
    self.writtenTokens = writtenTokens
    self.repetitions = repetitions
  }

  /// Read bandwidth in GB/s, and the tests of each model.
  package func run() throws -> (readGBPerS: Double, results: [Result]) {
    let sessions = entries.map {
      InferenceSession(
        $0.model, contextLength: promptTokens.reduce(writtenTokens) { max($0, $1) })
    }
    // Of the weights themselves: memory need not be as fast everywhere.
    let readings = try entries.map { try target.reading(of: [$0.model.matrices]) }
    func bandwidth(_ index: Int) throws -> Double {
      let reading = readings[index]
      return Double(reading.byteCount) / (try reading.microseconds(0) * 1e-6)
    }
    var written = entries.map { _ in [Double]() }
    var shares = written
    var prompts = promptTokens.map { _ in written }
    var reads: [Double] = []
    // The first repetition warms up.
    for repetition in 0...repetitions {
      for index in entries.indices.shuffled() {
        let session = sessions[index]
        let read = try promptTokens.map { try self.read($0, session) }
        let before = try bandwidth(index)
        let write = try self.write(session)
        let memory = (before + (try bandwidth(index))) / 2
        guard repetition > 0 else { continue }
        reads.append(memory)
        for (length, speed) in read.enumerated() { prompts[length][index].append(speed) }
        written[index].append(write)
        shares[index].append(write / (memory / bytesPerToken(entries[index])))
      }
    }
    var results = entries.indices.flatMap { index in
      promptTokens.enumerated().map { length, count in
        result(
          index, "pp\(count)", prompts[length], bound: promptBound(entries[index], count))
      } + [
        result(
          index, "tg\(writtenTokens)", written, shares: shares[index],
          bound: written[index].mean / shares[index].median)
      ]
    }
    results += try timeBatches { try bandwidth($0) }
    return (reads.median / 1e9, results)
  }

  /// Tokens/s of the prefill of a prompt.
  private func read(_ count: Int, _ session: InferenceSession) throws -> Double {
    let id = try session.open()
    defer { session.remove(id) }
    let vocabulary = session.model.configuration.vocabularySize
    let tokens = (0..<count).map { Int32($0 * 7 % vocabulary) }
    return try Double(count) / seconds { _ = try session.append(tokens, to: id) }
  }

  /// What arithmetic allows of a prompt.
  private func promptBound(_ entry: Entry, _ count: Int) -> Double? {
    productRate.map { rate in
      let bound = StepBound(entry.model, bandwidth: .infinity, productRate: rate)
      return Double(count) / bound.prefill(count)
    }
  }

  /// Tokens/s of greedy decoding.
  private func write(_ session: InferenceSession) throws -> Double {
    try Double(writtenTokens) / seconds { try session.generateGreedily(writtenTokens) }
  }

  /// Weights, masks and the mean of the cache that a written token reads.
  private func bytesPerToken(_ entry: Entry) -> Double {
    Double(entry.model.byteCountPerToken)
      + Double(entry.model.cacheByteCountPerToken) * Double(writtenTokens + 1) / 2
  }

  func seconds(_ body: () throws -> Void) rethrows -> Double {
    try ContinuousClock().measure(body) / .seconds(1)
  }

  /// The result of the model `index`, of which `speeds` has all repetitions, as of the others.
  func result(
    _ index: Int, _ test: String, batch: Int = 1, _ speeds: [[Double]], shares: [Double]? = nil,
    bound: Double?
  ) -> Result {
    let (entry, own) = (entries[index], speeds[index])
    let mean = own.mean
    let variance = own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(1, own.count - 1))
    return Result(
      model: entry.name, weights: entry.model.weightType.rawValue,
      sizeBytes: entry.model.byteCountPerToken,
      parameters: entry.model.configuration.weightCount, test: test, batch: batch,
      tokensPerS: mean, msPerToken: 1000 / mean, standardDeviation: variance.squareRoot(),
      predictedTokensPerS: shares.map { mean / $0.median },
      percentOfPrediction: shares.map { 100 * $0.median }, boundTokensPerS: bound,
      speedup: zip(own, speeds[0]).map { $0 / $1 }.median)
  }
}

extension [Double] {
  /// The middle of the sorted numbers.
  var median: Double { sorted()[count / 2] }
  /// The mean.
  var mean: Double { reduce(0, +) / Double(count) }
}
