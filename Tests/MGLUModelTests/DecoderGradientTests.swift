import MGLUModel
import Testing

@Suite struct DecoderGradientTests {
  static let units: [FeedForwardUnitKind] = [
    .linear, .gated, .sharedGated, .masked(.init(count: 1)), .masked(.init(count: 3)),
    .masked(.init(count: 2, ablation: .noGateMask)),
    .masked(.init(count: 2, ablation: .noValueMask)),
    .masked(.init(count: 3, routerTopK: 2)), .masked(.init(count: 2, kind: .fixed)),
  ]

  /// Along a random direction of all weights but mask logits, the loss changes as its gradient
  /// says. The bound leaves room for float32 losses under central differences of step 1e-2.
  @Test(arguments: units, [true, false])
  func lossChangesAsItsGradientSays(unit: FeedForwardUnitKind, tied: Bool) throws {
    let backend = try CPUBackend(threads: 2)
    let configuration = DecoderConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 19, intermediateSize: 29, unit: unit), contextLength: 11,
      tiesEmbeddings: tied)
    let decoder = try Decoder(configuration, on: backend)
    decoder.initialise(seed: 3)
    let (_, activations) = decoder.makeActivations(sequences: 3, length: 11, forTraining: true)
    activations.tokens.assign(integers: (0..<33).map { Int32($0 * 7 % 23) })
    activations.targets.assign(integers: (0..<33).map { Int32($0 * 5 % 23) })
    let memory = GradientMemory(decoder)
    decoder.lossAndGradients(activations, into: memory.gradients, scale: 1)

    var random = Philox(seed: 5, purpose: .synthetic)
    var predicted = 0.0
    var moves: [(Tensor, [Float], [Float])] = []
    for parameter in decoder.namedParameters where !parameter.name.hasSuffix("mask_logits") {
      let start = parameter.tensor.array
      let scale: Float = parameter.name.hasSuffix("norm.weight") ? 0.1 : 0.05
      let direction = start.map { _ in random.nextNormal() * scale }
      let gradient = memory.gradients[parameter.tensor].array
      predicted += zip(direction, gradient).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      moves.append((parameter.tensor, start, direction))
    }
    func loss(at distance: Float) -> Double {
      for (tensor, start, direction) in moves {
        tensor.assign(zip(start, direction).map { $0 + distance * $1 })
      }
      decoder.loss(activations)
      return activations.losses.array.reduce(0) { $0 + Double($1) }
    }
    let measured = (loss(at: 0.01) - loss(at: -0.01)) / 0.02
    #expect(abs(measured - predicted) < 5e-3 * max(1, abs(predicted)))
  }
}

/// Gradient memory of a decoder's layout.
private struct GradientMemory {
  let gradients: Gradients
  init(_ decoder: Decoder) {
    gradients = Gradients(
      arena: decoder.backend.allocate { _ = $0.tensor([decoder.trainedByteCount / 4]) }.arena)
  }
}
