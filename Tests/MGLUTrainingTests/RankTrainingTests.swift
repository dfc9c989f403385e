import Foundation
import MGLUTestSupport
import MGLUTraining
import Testing

/// Ranks as threads, each with a model of its own: what they end with is what one ends with.
@Suite struct RankTrainingTests {
  private static func configuration(steps: Int) -> TrainingConfiguration {
    TrainingConfiguration(
      steps: steps, batchSize: 2, contextLength: 8, gradientAccumulation: 5, learningRate: 1e-2,
      minimumLearningRate: 1e-3, warmupSteps: 3, seed: 7, evaluateEvery: 3, saveEvery: 4)
  }

  /// Wide enough that every rank has some of the blocks of the sum of squares.
  private static func trainer(
    _ unit: FeedForwardUnitKind, steps: Int, in folder: String?, learningRate: Double = 1e-2,
    _ communicator: (any Communicator)? = nil
  ) throws -> Trainer {
    let shape = ModelConfiguration(
      vocabularySize: Tokenizer.bytes.vocabularySize, layers: 2,
      attention: .init(heads: 2, kvHeads: 1, headSize: 24),
      feedForward: .init(hiddenSize: 48, intermediateSize: 150, unit: unit), contextLength: 8)
    let model = try LanguageModel(shape, on: CPUBackend(threads: 1))
    // Rank 0's model is that of all.
    model.initialize(seed: 5 + UInt64(communicator?.group.rank ?? 0))
    let ids = Tokenizer.bytes.encode(TrainerTests.proverbs)
    let corpus = Corpus(
      training: TokenSequence(Array(ids.dropLast(70))),
      validation: TokenSequence(Array(ids.suffix(70))))
    var configuration = Self.configuration(steps: steps)
    configuration.learningRate = learningRate
    return try Trainer(
      model, tokenizer: .bytes, corpus: corpus, configuration: configuration, output: folder,
      communicator: communicator)
  }

  /// What a run comes to: every parameter on every rank, and the result of the last validation.
  private struct Outcome: Equatable {
    var parameters: [[Float]]
    var validation: EvaluationResult?
    var trainingLoss: Double?
  }

  private static func outcome(_ trainer: Trainer, resume: Bool = false) throws -> Outcome {
    try trainer.prepareOutput(resume: resume) { _ in }
    let summary = try trainer.run()
    return Outcome(
      parameters: trainer.model.namedParameters.map(\.tensor.array),
      validation: summary.validation, trainingLoss: summary.trainingLoss)
  }

  private static func outcomes(
    _ unit: FeedForwardUnitKind, ranks: Int, steps: Int, in folder: String? = nil,
    resume: Bool = false
  ) throws -> [Outcome] {
    if ranks == 1 { return [try outcome(trainer(unit, steps: steps, in: folder), resume: resume)] }
    return try withRanks(ranks) { group in
      let communicator = try CPUBackend(threads: 1).communicator(of: group)
      return try outcome(trainer(unit, steps: steps, in: folder, communicator), resume: resume)
    }.map { try $0.get() }
  }

  @Test(arguments: TrainerTests.units) func anyNumberOfRanksEndsWithTheSameModel(
    unit: FeedForwardUnitKind
  ) throws {
    let one = try Self.outcomes(unit, ranks: 1, steps: 6)[0]
    for ranks in [2, 3, 5] {
      for outcome in try Self.outcomes(unit, ranks: ranks, steps: 6) { #expect(outcome == one) }
    }
  }

  /// Files of three ranks go on with two and with one, to the files of one.
  @Test func filesAreThoseOfOneRank() throws {
    let unit = FeedForwardUnitKind.mglu(.init(count: 2))
    func files(_ folder: String) throws -> [String: Data] {
      let paths = try #require(FileManager.default.subpaths(atPath: folder))
      return try Dictionary(
        uniqueKeysWithValues: paths.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".bin") }
          .map { ($0, try Data(contentsOf: URL(fileURLWithPath: folder + "/" + $0))) })
    }
    try withTemporaryFolder { folder in
      _ = try Self.outcomes(unit, ranks: 1, steps: 12, in: folder + "/one")
      let one = try files(folder + "/one")
      #expect(one.keys.contains("checkpoint-000012/optimizer.safetensors"))
      let several = folder + "/several"
      // The schedule is that of all steps: the first runs are interrupted.
      for (ranks, last) in [(3, 4), (2, 8), (1, 12)] {
        _ = try withRanks(ranks) { group in
          let communicator =
            ranks == 1 ? nil : try CPUBackend(threads: 1).communicator(of: group)
          let trainer = try Self.trainer(unit, steps: 12, in: several, communicator)
          try trainer.prepareOutput(resume: ranks != 3) { _ in }
          _ = try trainer.run(isCancelled: { trainer.step == last && last < 12 })
        }.map { try $0.get() }
      }
      #expect(try files(several).filter { one.keys.contains($0.key) } == one)
    }
  }

  @Test func ranksOfOtherSettingsAreNamed() throws {
    let results = try withRanks(3) { group in
      let communicator = try CPUBackend(threads: 1).communicator(of: group)
      let trainer = try Self.trainer(
        .glu, steps: 2, in: nil, learningRate: group.rank == 2 ? 2e-2 : 1e-2, communicator)
      _ = try trainer.run()
    }
    for result in results {
      let error = #expect(throws: CommunicationError.self) { try result.get() }
      #expect(error?.code == .disagreement)
      #expect(error?.message.contains("rank 2 (") == true)
      #expect(error?.message.contains("other settings") == true)
    }
  }

  @Test func everyRankNeedsAMicroBatch() throws {
    let results = try withRanks(6) { group in
      let communicator = try CPUBackend(threads: 1).communicator(of: group)
      _ = try Self.trainer(.glu, steps: 2, in: nil, communicator)
    }
    for result in results {
      let error = #expect(throws: TrainingError.self) { try result.get() }
      #expect(error?.message.contains("6 ranks for 5 micro-batches") == true)
    }
  }
}
