import MGLU
import Testing

/// Layers that allocate and draw their parameters themselves.
@Suite struct OwnParametersTests {
  @Test func parametersAreDrawnAsThePaperSays() throws {
    let layer = try MaskedGatedLinearUnit(
      hiddenSize: 96, intermediateSize: 128, masks: 3, routerTopK: 2, seed: 5,
      on: CPUBackend(threads: 1))
    let router = try #require(layer.router)
    #expect(layer.weight.shape == [128, 96] && layer.maskLogits.shape == [3, 128, 96])
    #expect(router.weight.shape == [3, 96] && router.topK == 2)
    // 12,288 draws and more: a deviation that was measured errs by less than 1 % at one sigma.
    for (tensor, deviation) in [
      (layer.weight, 1 / (3 * Float(96)).squareRoot()), (layer.maskLogits, 0.01),
    ] {
      let values = tensor.array
      let mean = values.reduce(0, +) / Float(values.count)
      let square = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
      #expect(abs(mean) < deviation / 20)
      #expect(abs(square.squareRoot() / deviation - 1) < 0.05)
    }
  }

  @Test func equalSeedsGiveEqualLayers() throws {
    let backend = try CPUBackend(threads: 1)
    let layers = try [UInt64(1), 1, 2].map { seed in
      try MaskedGatedLinearUnit(
        hiddenSize: 8, intermediateSize: 12, masks: 2, seed: seed, on: backend)
    }
    #expect(layers[0].weight.array == layers[1].weight.array)
    #expect(layers[0].maskLogits.array == layers[1].maskLogits.array)
    #expect(layers[0].weight.array != layers[2].weight.array)
    #expect(layers[0].configuration == layers[2].configuration)
  }

  /// A step against the gradient of half the sum of squares makes that sum smaller.
  private static func expectAStepToHelp(
    _ layer: some FeedForwardUnit, on backend: CPUBackend
  ) -> Gradients {
    let (rows, h) = (4, layer.configuration.hiddenSize)
    let gradients = Gradients(of: layer, on: backend)
    let (x, dX, saved, scratch) = backend.allocate { memory in
      (
        memory.tensor([rows, h]), memory.tensor([rows, h]),
        FeedForwardActivations(layer.configuration, rows: rows, in: &memory),
        StackScratch(layer.configuration, in: &memory)
      )
    }
    x.assign((0..<x.count).map { Float($0 % 7) - 3 })
    func energy() -> Float { layer(x, on: backend).array.reduce(0) { $0 + $1 * $1 } }
    let before = energy()
    layer.forward(x, saving: saved, scratch: scratch, on: backend)
    layer.backward(
      saved.output, x: x, saved: saved, xGradient: dX, gradients: gradients, scratch: scratch,
      on: backend)
    let weight = layer.weight
    weight.assign(zip(weight.array, gradients[weight].array).map { $0 - 1e-3 * $1 })
    #expect(energy() < before)
    return gradients
  }

  @Test func gradientsLieAsTheParametersDo() throws {
    let backend = try CPUBackend(threads: 1)
    let layer = try MaskedGatedLinearUnit(
      hiddenSize: 8, intermediateSize: 12, masks: 2, seed: 1, on: backend)
    let gradients = Self.expectAStepToHelp(layer, on: backend)
    #expect(gradients[layer.maskLogits].array.contains { $0 != 0 })
  }

  /// The baselines of a masked layer, whose W an LU has for the same seed.
  @Test(arguments: [FeedForwardUnitKind.lu, .glu, .sharedGLU])
  func baselinesHaveParametersOfTheirOwn(kind: FeedForwardUnitKind) throws {
    let backend = try CPUBackend(threads: 1)
    let (h, d) = (9, 11)
    let layer = try UnmaskedUnit(
      kind, hiddenSize: h, intermediateSize: d, seed: 1, on: backend)
    #expect(layer.weight.shape == [(kind == .glu ? 2 : 1) * d, h])
    if kind != .glu {
      let masked = try MaskedGatedLinearUnit(
        hiddenSize: h, intermediateSize: d, masks: 1, seed: 1, on: backend)
      #expect(layer.weight.array == masked.weight.array)
    }
    _ = Self.expectAStepToHelp(layer, on: backend)
    #expect(throws: ConfigurationError.self) {
      try UnmaskedUnit(
        .mglu(.init(count: 1)), hiddenSize: h, intermediateSize: d, on: backend)
    }
  }

  @Test(arguments: [(0, 8), (17, 8), (2, 0)])
  func whatCannotBeIsRefused(masks: Int, hiddenSize: Int) throws {
    let backend = try CPUBackend(threads: 1)
    #expect(throws: ConfigurationError.self) {
      try MaskedGatedLinearUnit(
        hiddenSize: hiddenSize, intermediateSize: 12, masks: masks, on: backend)
    }
  }
}
