import MGLUTestSupport
import MGLUTraining
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

  /// Bytes that a rank may hold, from the shape alone.
  private static func promise(_ unit: FeedForwardUnitKind) throws -> Int {
    let block = 64 << 10
    func blocks(_ bytes: Int) -> Int { (bytes + block - 1) / block * block }
    /// Ranks have whole blocks each.
    func share(_ bytes: Int) -> Int { (blocks(bytes) / block + ranks - 1) / ranks * block }
    var (matrices, logits, fixed, table, vectors) = (0, 0, 0, 0, 0)
    for parameter in shape(unit).parameterTable.parameters {
      let bytes = 4 * parameter.count
      switch parameter.role {
      case .maskLogits where parameter.isTrained: logits += bytes / layers
      case .maskLogits: fixed += bytes / layers
      case .embedding, .head: table += bytes
      case .norm, .bias: vectors += bytes
      default: matrices += bytes / layers
      }
    }
    let layer = blocks(matrices) + blocks(logits)
    // Parameters, the sum of gradients and both moments; of what is fixed parameters alone. What is whole
    // for passes has its parameters there.
    let shares =
      layers * (4 * (share(matrices) + share(logits)) + fixed / ranks)
      + 3 * (share(table) + share(vectors))
    // Two layers and the rest, of parameters and of gradients.
    let whole = 2 * (2 * layer + fixed) + 2 * (blocks(table) + vectors)
    let arriving = ranks * [matrices, logits, table].map(share).max()!
    let activations = TrainingMemory(
      shape(unit), sequences: 1, length: 8, purpose: .training, on: try CPUBackend(threads: 1)
    ).activations
    return shares + whole + arriving + activations
  }

  @Test(arguments: [
    FeedForwardUnitKind.glu, .mglu(.init(count: 2)), .mglu(.init(count: 2, kind: .fixed)),
  ])
  func ranksHoldTheirShare(unit: FeedForwardUnitKind) throws {
    let held = try Self.held(unit, isSharded: true, microBatches: Self.ranks)
    let promise = try Self.promise(unit)
    for (rank, held) in held.enumerated() {
      // Tables of rotations, what tells a pass its tokens, and alignment.
      #expect(held.between <= promise + 64 << 10, "rank \(rank)")
      // Rank 0 begins with all parameters; others never have them.
      if rank > 0 { #expect(held.peak < held.between + 4096) }
    }
    // The bound tells something: whole parameters alone would be beyond it.
    let unsharded = try Self.held(unit, isSharded: false, microBatches: Self.ranks)
    for held in unsharded { #expect(held.between > promise + 64 << 10) }
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
