import MGLUModel
import Testing

@Suite struct LlamaExportTests {
  static func model(_ unit: FeedForwardUnitKind, tied: Bool = true) throws -> LanguageModel {
    let model = try LanguageModel(
      ModelConfiguration(
        vocabularySize: 41, layers: 3, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
        feedForward: .init(hiddenSize: 23, intermediateSize: 31, unit: unit), contextLength: 29,
        tiesEmbeddings: tied), on: CPUBackend(threads: 2))
    model.initialize(seed: 11)
    return model
  }

  static let tokens = (0..<29).map { Int32($0 * 17 % 41) }

  /// The same sums in another order: far below the 1e-4 that a user could notice.
  @Test(arguments: [1, 4, 8], [true, false])
  func exportedLogitsAreEqual(masks: Int, tied: Bool) throws {
    let model = try Self.model(.mglu(.init(count: masks)), tied: tied)
    let llama = try model.llamaExport()
    #expect(llama.configuration.feedForward.unit == .glu)
    #expect(llama.configuration.feedForward.intermediateSize == masks * 31)
    let (a, b) = (model.logits(Self.tokens), llama.logits(Self.tokens))
    #expect(a.count == b.count && a.contains { abs($0) > 0.01 })
    #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 })
    #expect(abs(loss(model) - loss(llama)) < 1e-5)
    // A mask that had no effect would make this test empty.
    let flipped = try Self.model(.mglu(.init(count: masks)), tied: tied)
    for layer in flipped.weights.layers {
      guard let unit = layer.unit.masked else { continue }
      unit.maskLogits.assign(unit.maskLogits.array.map { -abs($0) })
    }
    #expect(zip(a, flipped.logits(Self.tokens)).contains { abs($0 - $1) > 1e-3 })
  }

  @Test(arguments: [
    FeedForwardUnitKind.glu, .sharedGLU, .mglu(.init(count: 2, kind: .fixed)),
  ])
  func otherGatedUnitsAreExported(unit: FeedForwardUnitKind) throws {
    let model = try Self.model(unit)
    let (a, b) = (model.logits(Self.tokens), try model.llamaExport().logits(Self.tokens))
    #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-4 })
  }

  @Test(arguments: [
    FeedForwardUnitKind.lu, .mglu(.init(count: 2, routerTopK: 1)),
    .mglu(.init(count: 2, ablation: .noGateMask)),
    .mglu(.init(count: 2, ablation: .noValueMask)),
  ])
  func whatNoLlamaComputesIsRefused(unit: FeedForwardUnitKind) throws {
    let model = try Self.model(unit)
    let error = #expect(throws: CheckpointError.self) { try model.llamaExport() }
    #expect(error?.code == .notExportable && error?.remedy != nil)
  }

  private func loss(_ model: LanguageModel) -> Float {
    let activations = model.makeActivations(sequences: 1, length: 28, purpose: .evaluation)
    activations.tokens.assign(integers: Self.tokens.dropLast())
    activations.targets.assign(integers: Self.tokens.dropFirst())
    model.loss(activations)
    return activations.losses.array.reduce(0, +) / 28
  }
}
