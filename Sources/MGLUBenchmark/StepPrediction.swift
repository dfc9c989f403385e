import MGLUTraining

/// How long a step of training takes, from the arithmetic and the bytes that it needs and the rates
/// of the machine.
///
/// Products of a model reach about three quarters of the rate of one large product; what runs between
/// them moves every activation about three times, and AdamW reads and writes all that it keeps. Both
/// numbers were fitted to steps of `paper-small` on an H100, for 0 to 8 masks; other shapes and other
/// machines have not been compared with it.
package struct StepPrediction {
  private static let productOverhead = 1.35
  private static let activationPasses = 3.0

  /// Seconds in products.
  package let products: Double
  /// Seconds in what runs between them.
  package let passes: Double
  /// Seconds of the optimizer.
  package let optimizer: Double
  /// Seconds of a step.
  package var total: Double { products + passes + optimizer }

  /// The prediction for `accumulation` passes over `tokens` tokens.
  ///
  /// - Parameters:
  ///   - productRate: 10^12 floating-point operations a second of a large product.
  ///   - copyRate: Bytes a second, read and written together, of a copy.
  package init(
    _ configuration: ModelConfiguration, memory: TrainingMemory, tokens: Int, length: Int,
    accumulation: Int, recomputes: Bool, productRate: Double, copyRate: Double
  ) {
    let again = recomputes ? 4.0 / 3 : 1
    let flop = configuration.trainingFLOP(length: length) * Double(tokens * accumulation) * again
    products = Self.productOverhead * flop / (productRate * 1e12)
    let kept = 2 * (memory.parameters + memory.gradients + memory.moments) + memory.copies
    passes = Self.activationPasses * Double(memory.activations * accumulation) / copyRate
    optimizer = Double(kept) / copyRate
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
