import MGLU
import Testing

/// One backend of a CPU that several threads call at once.
@Suite struct SharedBackendTests {
  /// The judge is the same unit, called by one thread.
  @Test(arguments: [1, 3], [WeightType.float32, .bfloat16])
  func callersDoNotDisturbEachOther(threads: Int, type: WeightType) async throws {
    let backend = try CPUBackend(threads: threads)
    let unit = FusedFeedForward(
      try MaskedGatedLinearUnit(hiddenSize: 96, intermediateSize: 160, masks: 2, on: backend),
      weights: type, on: backend)
    let inputs = (0..<4).map { seed in
      let x = backend.allocate { $0.tensor([3, 96]) }
      x.assign((0..<x.count).map { Float(($0 * 7 + seed * 5) % 11) - 5 })
      return x
    }
    let expected = try inputs.map { try unit($0, on: backend).array }
    let wrong = try await withThrowingTaskGroup { group in
      for (x, expected) in zip(inputs, expected) {
        group.addTask {
          try (0..<200).count { _ in try unit(x, on: backend).array != expected }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
