import MGLUModel

// Decode steps of many sequences at a position.

extension DecodeBenchmark {
  /// Steps that are timed together.
  private static let steps = 16

  /// How long sequences become whose steps are timed: the first ones decode while the prompts of the last
  /// are read.
  package static func length(
    batch: Int, position: Int, repetitions: Int, on backend: any InferenceBackend
  ) -> Int {
    let chunk = min(InferenceSession.prefillChunkSize(on: backend), position)
    return position + steps * repetitions + 4 + (batch * position + chunk - 1) / chunk
  }

  /// The tests of all batches, the models of each one after the other; `bandwidth` measures the bytes a
  /// second that a model is read with.
  func timeBatches(_ bandwidth: (_ index: Int) throws -> Double) throws -> [Result] {
    try batches.flatMap { batch in
      var speeds: [[Double]] = []
      var bounds: [Double] = []
      for index in entries.indices {
        let before = try bandwidth(index)
        let (own, position) = try time(batch, entries[index].model)
        let memory = (before + (try bandwidth(index))) / 2
        speeds.append(own)
        let bound = StepBound(
          entries[index].model, bandwidth: memory, productRate: productRate)
        bounds.append(Double(batch) / bound.decode(rows: batch, position: position))
      }
      return entries.indices.map { index in
        result(
          index, "tg@\(position)", batch: batch, speeds,
          shares: speeds[index].map { $0 / bounds[index] }, bound: bounds[index])
      }
    }
  }

  /// Tokens/s of each repetition, and the mean position of the rows. The prompts differ, so that no
  /// sequence reads the cache of another.
  private func time(
    _ batch: Int, _ model: InferenceModel
  ) throws -> (speeds: [Double], position: Double) {
    let length = Self.length(
      batch: batch, position: position, repetitions: repetitions, on: model.backend)
    let limit = model.configuration.contextLength
    guard length <= limit else {
      throw GenerationError(
        .contextLength,
        "steps of \(batch) sequences from position \(position) on take \(length) tokens each: the "
          + "model reads at most \(limit)", remedy: "choose a smaller position or fewer sequences")
    }
    let blocks = batch * model.cacheBlocks(tokens: length)
    try PhysicalMemory.require(
      Double(model.cacheByteCount(blocks: blocks))
        + Double(model.sessionByteCount(maxSequences: batch, contextLength: length)),
      on: model.backend.deviceMemory, for: "steps of \(batch) sequences at position \(position)",
      remedy: "choose fewer sequences, or a smaller position")
    let session = InferenceSession(model, maxSequences: batch, contextLength: length)
    let vocabulary = model.configuration.vocabularySize
    for sequence in 0..<batch {
      let prompt = (0..<position).map { Int32(($0 * 7 + sequence * 13 + sequence) % vocabulary) }
      _ = try session.insert(
        GenerationRequest(prompt: prompt, maxTokens: length - position, ignoresEOS: true))
    }
    var written: [SequenceID: Int] = [:]
    func step() throws -> Int {
      let outputs = try session.next()
      for output in outputs {
        if let failure = output.failure { throw failure }
        written[output.id, default: 0] += 1
      }
      return outputs.count
    }
    while try step() < batch {}
    for _ in 0..<2 { _ = try step() }
    let first = Double(written.values.reduce(0, +)) / Double(batch)
    let speeds = try (0..<repetitions).map { _ in
      var tokens = 0
      let seconds = try seconds { for _ in 0..<Self.steps { tokens += try step() } }
      return Double(tokens) / seconds
    }
    return (speeds, Double(position) + first + Double(Self.steps * repetitions) / 2)
  }
}
