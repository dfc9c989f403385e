import MGLUTraining

/// How long a step of training takes, from the arithmetic and the bytes that it needs and the rates
/// of the machine, on one processor or on many that are connected.
///
/// Products of a model reach about three quarters of the rate of one large product; what runs between
/// them moves every activation about three times, and AdamW reads and writes all that it keeps. Both
/// numbers were fitted to steps of `paper-small` on an H100, for 0 to 8 masks; other shapes and other
/// machines have not been compared with it. Ranks share out the optimizer and do nothing while they
/// exchange gradients and gather parameters.
package struct StepPrediction {
  private static let productOverhead = 1.35
  private static let activationPasses = 3.0

  /// Seconds in products.
  package let products: Double
  /// Seconds in everything else that is computed.
  package let passes: Double
  /// Seconds in which ranks exchange gradients and gather parameters.
  package let exchange: Double
  /// Seconds of a step.
  package var total: Double { products + passes + exchange }

  /// The prediction for `accumulation` passes over `tokens` tokens.
  ///
  /// - Parameters:
  ///   - productRate: 10^12 floating-point operations a second of a large product.
  ///   - copyRate: Bytes a second, read and written together, of a copy.
  ///   - interconnect: What connects the ranks, which take the passes in turns; `nil` for one.
  package init(
    _ configuration: ModelConfiguration, memory: TrainingMemory, tokens: Int, length: Int,
    accumulation: Int, recomputes: Bool, productRate: Double, copyRate: Double,
    interconnect: Interconnect? = nil
  ) {
    let ranks = interconnect?.ranks ?? 1
    let rounds = (accumulation + ranks - 1) / ranks
    let again = recomputes ? 4.0 / 3 : 1
    let flop = configuration.trainingFLOP(length: length) * Double(tokens * rounds) * again
    products = Self.productOverhead * flop / (productRate * 1e12)
    let kept =
      2 * ((memory.parameters + memory.gradients) / ranks + memory.moments) + memory.copies
    // What arrives of a gradient is added up, and the gradient cleared.
    let added = ranks > 1 ? 2 * memory.trained * rounds : 0
    passes =
      (Self.activationPasses * Double(memory.activations * rounds) + Double(kept + added))
      / copyRate
    exchange =
      interconnect.map { connection in
        Double(rounds) * connection.seconds(exchanging: memory.trained / ranks)
          + connection.seconds(exchanging: memory.gathered / ranks)
      } ?? 0
  }

  /// Bytes a second that a copy reads and writes together.
  package static func copyRate(on backend: any TrainingBackend) throws -> Double {
    let count = (backend.deviceMemory == nil ? 64 : 512) << 20
    let (from, to) = backend.allocate {
      ($0.tensor([count], .uint8), $0.tensor([count], .uint8))
    }
    backend.copy(from, into: to)
    try backend.finish()
    let times = try (0..<5).map { _ in
      try ContinuousClock().measure {
        for _ in 0..<4 { backend.copy(from, into: to) }
        try backend.finish()
      } / .seconds(1)
    }
    return 8 * Double(count) / times.sorted()[2]
  }
}
