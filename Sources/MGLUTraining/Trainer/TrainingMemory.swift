/// The memory of a training run by purpose, in bytes, known before any allocation.
public struct TrainingMemory: Sendable, Equatable {
  /// The float32 parameters, fixed masks included.
  public let parameters: Int
  /// The copies that products read, where they do not read the parameters themselves.
  public let copies: Int
  /// Gradients, and what they are added up in.
  public let gradients: Int
  /// Both moments of AdamW.
  public let moments: Int
  /// Activations and their gradients; validation uses the same.
  public let activations: Int

  /// All together.
  public var total: Int { parameters + copies + gradients + moments + activations }

  /// The memory of a run with `sequences` sequences of `length` tokens at a time on `backend`, on the
  /// rank that needs most.
  ///
  /// - Parameters:
  ///   - configuration: The model.
  ///   - sequences: Sequences of a micro-batch.
  ///   - length: Tokens of a sequence.
  ///   - purpose: What activations are kept for.
  ///   - microBatches: How many gradients make a step.
  ///   - ranks: How many ranks share the step.
  ///   - isSharded: Whether they share the parameters, too.
  ///   - backend: What computes.
  public init(
    _ configuration: ModelConfiguration, sequences: Int, length: Int,
    purpose: ActivationPurpose, microBatches: Int = 1, ranks: Int = 1,
    isSharded: Bool = false, on backend: any TrainingBackend
  ) {
    var layout = ArenaLayout()
    let weights = ModelWeights(
      configuration, vocabularyMultiple: backend.vocabularyMultiple, in: &layout)
    let type = backend.productType
    let shares = ParameterShares(of: weights, ranks: ranks)
    let isSharded = isSharded && ranks > 1
    if isSharded {
      func measured(_ describe: (inout ArenaLayout) -> ArenaParts) -> ArenaParts {
        var layout = ArenaLayout()
        return describe(&layout)
      }
      let ofRanks = (0..<ranks).map { shares.layerBytes(of: $0).reduce(0) { $0 + $1.count } }
      let memory = ShardedMemory(
        weights, shares: shares, rank: ofRanks.indices.max { ofRanks[$0] < ofRanks[$1] } ?? 0,
        productType: type, allocate: measured)
      parameters = memory.masters.byteCount + memory.exactLayers.byteCount
      copies = (memory.copies?.byteCount ?? 0) + (memory.narrowLayers?.byteCount ?? 0)
      gradients =
        measured { ShardedMemory.gradients(of: weights, shares: shares, in: &$0) }.byteCount
        + GradientSum.byteCount(
          shares, ranks: ranks, microBatches: microBatches, isSharded: true)
    } else {
      parameters = layout.byteCount
      copies = type == .float32 ? 0 : weights.productBytes.count / 4 * type.byteCount
      gradients =
        shares.byteCount
        + GradientSum.byteCount(
          shares, ranks: ranks, microBatches: microBatches, isSharded: false)
    }
    moments = 2 * shares.largest
    let plan = ActivationPlan(
      configuration, sequences: sequences, length: length, purpose: purpose,
      type: backend.productType, vocabularyRows: weights.head.rows)
    activations = ArenaLayout.measure { layout in
      _ = ModelActivations(plan, batch: nil, in: &layout)
    }
  }

  /// Of a model that only computes: without gradients and moments.
  public var forward: Int { parameters + copies + activations }

  /// Throws where a run, and `others` bytes beside it, cannot fit, with a remedy.
  public func check(
    on backend: any TrainingBackend, beside others: Int = 0
  ) throws(MemoryError) {
    let activations = PhysicalMemory.gibibytes(Double(activations))
    try PhysicalMemory.require(
      Double(total) + Double(others), on: backend.deviceMemory,
      for: "training this model (activations \(activations))",
      remedy: "use a smaller batch with more gradient accumulation, recomputed activations, a "
        + "shorter context or a smaller model")
  }
}
