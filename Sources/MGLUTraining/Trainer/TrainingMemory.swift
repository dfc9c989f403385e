/// The memory of a training run by purpose, in bytes, known before any allocation.
public struct TrainingMemory: Sendable, Equatable {
  /// The float32 parameters, fixed masks included.
  public let parameters: Int
  /// The copies that products read, where they do not read the parameters themselves.
  public let copies: Int
  /// Gradients.
  public let gradients: Int
  /// Both moments of AdamW.
  public let moments: Int
  /// Activations and their gradients; validation uses the same.
  public let activations: Int

  /// All together.
  public var total: Int { parameters + copies + gradients + moments + activations }

  /// The memory of a run with `sequences` sequences of `length` tokens at a time on `backend`.
  public init(
    _ configuration: ModelConfiguration, sequences: Int, length: Int,
    purpose: ActivationPurpose, on backend: any TrainingBackend
  ) {
    var weights: ModelWeights?
    parameters = ArenaLayout.measure { layout in
      weights = ModelWeights(
        configuration, vocabularyMultiple: backend.vocabularyMultiple, in: &layout)
    }
    let trained = weights?.vectorBytes.upperBound ?? 0
    let productBytes = weights?.productBytes.count ?? 0
    copies =
      backend.productType == .float32 ? 0 : productBytes / 4 * backend.productType.byteCount
    gradients = trained
    moments = 2 * trained
    let plan = ActivationPlan(
      configuration, sequences: sequences, length: length, purpose: purpose,
      type: backend.productType, vocabularyRows: weights?.head.rows ?? 0)
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
