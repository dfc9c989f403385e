import MGLUTraining
import Testing

@Suite struct TrainingMemoryTests {
  static let units: [FeedForwardUnitKind] = [
    .lu, .glu, .mglu(.init(count: 3)), .mglu(.init(count: 2, kind: .fixed)),
    .mglu(.init(count: 3, routerTopK: 2)),
  ]

  /// The plan is made by the descriptions that the memory itself is laid out by.
  @Test(arguments: units, [true, false])
  func planIsWhatIsAllocated(unit: FeedForwardUnitKind, tied: Bool) throws {
    let backend = try CPUBackend(threads: 1)
    let configuration = ModelConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 6),
      feedForward: .init(hiddenSize: 13, intermediateSize: 17, unit: unit), contextLength: 8,
      tiesEmbeddings: tied)
    let memory = TrainingMemory(
      configuration, sequences: 3, length: 8, purpose: .training, on: backend)
    let model = try LanguageModel(configuration, on: backend)
    #expect(memory.parameters == model.weights.arena.byteCount && memory.copies == 0)
    #expect(memory.gradients == model.trainedByteCount)
    #expect(memory.moments == 2 * model.trainedByteCount)
    let activations = model.makeActivations(sequences: 3, length: 8, purpose: .training)
    // Tokens, targets and losses are laid out where they are computed with, too.
    #expect(memory.activations > activations.losses.byteCount * 3)
    let recomputing = TrainingMemory(
      configuration, sequences: 3, length: 8, purpose: .recomputingTraining, on: backend)
    #expect(recomputing.activations < memory.activations)
    try memory.check(on: backend)
  }

  /// Weights of a GLU: 6 operations each; masks count as matrices.
  @Test func operationsOfAToken() {
    let shape = ModelConfiguration(
      vocabularySize: 10, layers: 1, attention: .init(heads: 1, kvHeads: 1, headSize: 4),
      feedForward: .init(hiddenSize: 4, intermediateSize: 5, unit: .glu), contextLength: 8)
    // Head 40, attention 48 + 16, up 2 x 20, down 20, and scores and values of half of 8 tokens: 32.
    #expect(shape.trainingFLOP(length: 8) == 6 * Double(40 + 48 + 16 + 40 + 20 + 32))
    var masked = shape
    masked.feedForward.unit = .mglu(.init(count: 4))
    #expect(masked.trainingFLOP(length: 8) == 6 * Double(40 + 48 + 16 + 100 + 20 + 32))
  }
}
