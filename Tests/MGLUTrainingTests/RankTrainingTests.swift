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
    layers: Int = 2, tied: Bool = false, isSharded: Bool = false, recomputes: Bool = false,
    clipNorm: Float = 1, isLate: Bool = false, _ communicator: (any Communicator)? = nil
  ) throws -> Trainer {
    let shape = ModelConfiguration(
      vocabularySize: Tokenizer.bytes.vocabularySize, layers: layers,
      attention: .init(heads: 2, kvHeads: 1, headSize: 24),
      feedForward: .init(hiddenSize: 48, intermediateSize: 150, unit: unit), contextLength: 8,
      hasQKVBias: tied, tiesEmbeddings: tied)
    let backend = try CPUBackend(threads: 1)
    backend.isLate = isLate
    let model = try LanguageModel(
      shape, sharing: isSharded ? communicator : nil, on: backend)
    // Rank 0's model is that of all.
    model.initialize(seed: 5 + UInt64(communicator?.group.rank ?? 0))
    let ids = Tokenizer.bytes.encode(TrainerTests.proverbs)
    let corpus = Corpus(
      training: TokenSequence(Array(ids.dropLast(70))),
      validation: TokenSequence(Array(ids.suffix(70))))
    var configuration = Self.configuration(steps: steps)
    configuration.learningRate = learningRate
    configuration.optimizer.clipNorm = clipNorm
    return try Trainer(
      model, tokenizer: .bytes, corpus: corpus, configuration: configuration, output: folder,
      recomputesActivations: recomputes, communicator: communicator, telemetryInterval: 4)
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
    // Where ranks share the parameters, rank 0 has what a run has come to.
    return Outcome(
      parameters: trainer.model.hasHostParameters
        ? trainer.model.namedParameters.map(\.tensor.array) : [],
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

  /// With odd and even numbers of layers, which take turns in two slots, and one alone.
  @Test(arguments: TrainerTests.units, [(1, true), (2, false), (3, true), (4, false)])
  func ranksThatShareParametersEndWithTheSameModel(
    unit: FeedForwardUnitKind, shape: (layers: Int, tied: Bool)
  ) throws {
    @Sendable func trainer(isSharded: Bool, _ communicator: (any Communicator)?) throws -> Trainer {
      try Self.trainer(
        unit, steps: 4, in: nil, layers: shape.layers, tied: shape.tied, isSharded: isSharded,
        recomputes: shape.layers > 2, clipNorm: shape.tied ? 0.1 : 0, communicator)
    }
    let one = try Self.outcome(trainer(isSharded: false, nil))
    // Of five micro-batches, so that three ranks have a round in which one has none.
    for ranks in [2, 3] {
      let outcomes = try withRanks(ranks) { group in
        let communicator = try CPUBackend(threads: 1).communicator(of: group)
        return try Self.outcome(trainer(isSharded: true, communicator))
      }.map { try $0.get() }
      #expect(outcomes[0] == one)
      for outcome in outcomes.dropFirst() {
        #expect(outcome.validation == one.validation && outcome.trainingLoss == one.trainingLoss)
      }
    }
  }

  /// Nothing depends on how soon the work is done that goes on beside the passes: on a GPU another queue has
  /// it. With one layer's gradient read too late, or its parameters too early, losses would differ.
  @Test(arguments: [FeedForwardUnitKind.glu, .mglu(.init(count: 2))], [false, true])
  func everyPassWaitsForWhatItReads(unit: FeedForwardUnitKind, isSharded: Bool) throws {
    let one = try Self.outcome(Self.trainer(unit, steps: 4, in: nil, layers: 5))
    let outcomes = try withRanks(3) { group in
      let communicator = try CPUBackend(threads: 1).communicator(of: group)
      return try Self.outcome(
        Self.trainer(
          unit, steps: 4, in: nil, layers: 5, isSharded: isSharded, isLate: true, communicator))
    }.map { try $0.get() }
    #expect(outcomes[0] == one)
  }

  /// Files of three ranks go on with two and with one, to the files of one, whether ranks share the
  /// parameters or not.
  @Test(arguments: TrainerTests.units, [[false, false], [true, false], [false, true]])
  func filesAreThoseOfOneRank(unit: FeedForwardUnitKind, isSharded: [Bool]) throws {
    func files(_ folder: String) throws -> [String: Data] {
      let paths = try #require(FileManager.default.subpaths(atPath: folder))
      return try Dictionary(
        uniqueKeysWithValues: paths.filter { path in
          [".safetensors", ".bin", "metrics.jsonl"].contains { path.hasSuffix($0) }
        }.map { ($0, try Data(contentsOf: URL(fileURLWithPath: folder + "/" + $0))) }
      ).mapValues { data in
        // Times alone differ.
        String(data: data, encoding: .utf8).map { text in
          Data(text.replacing(/"tokens_per_second":[^,}]*/, with: "").utf8)
        } ?? data
      }
    }
    try withTemporaryFolder { folder in
      _ = try Self.outcomes(unit, ranks: 1, steps: 12, in: folder + "/one")
      let one = try files(folder + "/one")
      #expect(one.keys.contains("checkpoint-000012/optimizer.safetensors"))
      let several = folder + "/several"
      // The schedule is that of all steps: the first runs are interrupted.
      for (ranks, last, isSharded) in [(3, 4, isSharded[0]), (2, 8, isSharded[1]), (1, 12, false)] {
        _ = try withRanks(ranks) { group in
          let communicator =
            ranks == 1 ? nil : try CPUBackend(threads: 1).communicator(of: group)
          let trainer = try Self.trainer(
            unit, steps: 12, in: several, isSharded: isSharded, communicator)
          try trainer.prepareOutput(resume: ranks != 3) { _ in }
          _ = try trainer.run(isCancelled: { trainer.step == last && last < 12 })
        }.map { try $0.get() }
      }
      let found = try files(several)
      for (name, data) in one { #expect(found[name] == data, "\(name)") }
    }
  }

  /// Runs; where that fails, no rank ends before all have failed: the others would name a lost rank.
  private static func run(_ trainer: Trainer, in group: RankGroup) throws {
    do { _ = try trainer.run() } catch {
      _ = try? group.any(true)
      throw error
    }
  }

  @Test func ranksOfOtherSettingsAreNamed() throws {
    let results = try withRanks(3) { group in
      let communicator = try CPUBackend(threads: 1).communicator(of: group)
      let trainer = try Self.trainer(
        .glu, steps: 2, in: nil, learningRate: group.rank == 2 ? 2e-2 : 1e-2, communicator)
      try Self.run(trainer, in: group)
    }
    for result in results {
      let error = #expect(throws: CommunicationError.self) { try result.get() }
      #expect(error?.code == .disagreement)
      #expect(error?.message.contains("rank 2 (") == true)
      #expect(error?.message.contains("other settings") == true)
    }
  }

  @Test func ranksOfAnotherKindOfOutputAreNamed() throws {
    try withTemporaryFolder { folder in
      let results = try withRanks(2) { group in
        let communicator = try CPUBackend(threads: 1).communicator(of: group)
        let trainer = try Self.trainer(
          .glu, steps: 2, in: group.isLeader ? folder + "/run" : nil, communicator)
        try Self.run(trainer, in: group)
      }
      for result in results {
        let error = #expect(throws: CommunicationError.self) { try result.get() }
        #expect(error?.message.contains("another kind of output") == true)
      }
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

  /// What is not finite from the start is named with its parameter by every rank, whoever has it.
  @Test(arguments: [false, true]) func whatIsNotFiniteIsNamedByAll(isSharded: Bool) throws {
    let results = try withRanks(3) { group in
      let communicator = try CPUBackend(threads: 1).communicator(of: group)
      let trainer = try Self.trainer(
        .glu, steps: 2, in: nil, isSharded: isSharded, communicator)
      if group.isLeader {
        let names = ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"]
        for parameter in trainer.model.namedParameters where names.contains(parameter.name) {
          parameter.tensor[parameter.tensor.shape[0] - 1..<parameter.tensor.shape[0]]
            .withMutableFloats { $0[0] = .nan }
        }
      }
      try Self.run(trainer, in: group)
    }
    for result in results {
      let error = #expect(throws: TrainingError.self) { try result.get() }
      #expect(error?.code == .setting)
      #expect(error?.message.contains("in the weights of model.layers.1.mlp.up_proj") == true)
    }
  }
}
