import MGLUTestSupport
import MGLUTraining
import Synchronization
import Testing

/// What ranks that share the parameters hold, as it is allocated, against what is promised.
@Suite struct ShardedMemoryTests {
  private static let layers = 6
  private static let ranks = 3

  private static func shape(_ unit: FeedForwardUnitKind) -> ModelConfiguration {
    ModelConfiguration(
      vocabularySize: Tokenizer.bytes.vocabularySize, layers: layers,
      attention: .init(heads: 2, kvHeads: 2, headSize: 64),
      feedForward: .init(hiddenSize: 128, intermediateSize: 384, unit: unit), contextLength: 8)
  }

  /// What a rank held.
  private struct Held {
    /// Between steps.
    var between = 0
    /// At most, in all of a run.
    var peak = 0
  }

  private static func held(
    _ unit: FeedForwardUnitKind, isSharded: Bool, microBatches: Int
  ) throws -> [Held] {
    try withRanks(ranks) { group in
      let backend = try CPUBackend(threads: 1)
      let communicator = try backend.communicator(of: group)
      let model = try LanguageModel(
        shape(unit), sharing: isSharded ? communicator : nil, on: backend)
      model.initialize(seed: 1)
      let ids = TokenSequence(Tokenizer.bytes.encode(TrainerTests.proverbs))
      let trainer = try Trainer(
        model, tokenizer: .bytes, corpus: Corpus(training: ids, validation: ids),
        configuration: TrainingConfiguration(
          steps: 2, batchSize: 1, contextLength: 8, gradientAccumulation: microBatches),
        communicator: communicator)
      var held = Held()
      _ = try trainer.run(observe: { event in
        if case .step = event { held.between = backend.meter.byteCount }
      })
      held.peak = backend.meter.peakByteCount
      return held
    }.map { try $0.get() }
  }

  @Test(arguments: [
    FeedForwardUnitKind.glu, .mglu(.init(count: 2)), .mglu(.init(count: 2, kind: .fixed)),
  ])
  func ranksHoldTheirShare(unit: FeedForwardUnitKind) throws {
    let (ranks, layers) = (Self.ranks, Self.layers)
    let backend = try CPUBackend(threads: 1)
    let held = try Self.held(unit, isSharded: true, microBatches: ranks)
    // By name, from the shape alone.
    var (layer, fixed, rest) = (0, 0, 0)
    for parameter in Self.shape(unit).parameterTable.parameters {
      let bytes = 4 * parameter.count
      if !parameter.isTrained {
        fixed += bytes / layers
      } else if parameter.name.hasPrefix("model.layers."), parameter.shape.count > 1 {
        layer += bytes / layers
      } else {
        rest += bytes
      }
    }
    // Parameters, the sum of gradients and two moments; of what is fixed parameters alone.
    let shares = (layers * (4 * layer + fixed) + 3 * rest) / ranks
    // Two layers of parameters and of gradients, and the rest of both.
    let whole = 2 * (2 * layer + fixed) + 2 * rest
    // What the ranks send of the largest run arrives at once.
    let arriving = max(layer, rest)
    let activations = TrainingMemory(
      Self.shape(unit), sequences: 1, length: 8, purpose: .training, on: backend
    ).activations
    // Each layer's matrices and logits end at a block of 64 KiB, and shares consist of blocks: for each of
    // these runs, in shares and slots, two blocks at most. Tables of rotations and sums take a few KiB.
    let slack = (2 * layers * 4 + 2 * 4 + 8) * 2 * (64 << 10)
    let promise = shares + whole + arriving + activations
    for (rank, held) in held.enumerated() {
      #expect(held.between <= promise + slack, "rank \(rank)")
      // Rank 0 begins with all parameters.
      if rank > 0 { #expect(held.peak == held.between) }
    }
    // The bound tells something: whole parameters alone would be beyond it.
    let unsharded = try Self.held(unit, isSharded: false, microBatches: ranks)
    for held in unsharded { #expect(held.between > promise + slack) }
  }

  /// The plan and what is allocated differ by the same few tables, whether ranks share the parameters or not.
  @Test(arguments: [3, 6], [FeedForwardUnitKind.glu, .mglu(.init(count: 2, routerTopK: 1))])
  func planIsWhatIsAllocated(microBatches: Int, unit: FeedForwardUnitKind) throws {
    let backend = try CPUBackend(threads: 1)
    let differences = try [false, true].map { isSharded in
      let held = try Self.held(unit, isSharded: isSharded, microBatches: microBatches)
      let plan = TrainingMemory(
        Self.shape(unit), sequences: 1, length: 8, purpose: .training, microBatches: microBatches,
        ranks: Self.ranks, isSharded: isSharded, on: backend)
      return (held.map(\.between).max() ?? 0) - plan.total
    }
    #expect(differences[0] >= 0 && differences[0] < 64 << 10)
    // Parts of a share begin at multiples of 256 bytes.
    #expect(abs(differences[1] - differences[0]) < 64 << 10)
  }
}
