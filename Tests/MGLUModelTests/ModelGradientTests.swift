import MGLUModel
import Testing

@Suite struct ModelGradientTests {
  static let units: [FeedForwardUnitKind] = [
    .lu, .glu, .sharedGLU, .mglu(.init(count: 1)), .mglu(.init(count: 3)),
    .mglu(.init(count: 2, ablation: .noGateMask)),
    .mglu(.init(count: 2, ablation: .noValueMask)),
    .mglu(.init(count: 3, routerTopK: 3)), .mglu(.init(count: 2, kind: .fixed)),
  ]

  /// Along the gradient, slightly disturbed, the loss changes as the gradient says. The bound
  /// leaves room for float32 losses under central differences of step 2.5e-4; at 1e-3 the curvature
  /// of QK-norm over small queries alone is 3e-3 of the slope.
  @Test(arguments: units, [true, false])
  func lossChangesAsItsGradientSays(unit: FeedForwardUnitKind, tied: Bool) throws {
    let backend = try CPUBackend(threads: 2)
    let configuration = ModelConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 19, intermediateSize: 29, unit: unit), contextLength: 11,
      hasQKNorm: tied, tiesEmbeddings: tied)
    let model = try LanguageModel(configuration, on: backend)
    model.initialize(seed: 3)
    let activations = model.makeActivations(sequences: 3, length: 11, purpose: .training)
    activations.tokens.assign(integers: (0..<33).map { Int32($0 * 7 % 23) })
    activations.targets.assign(integers: (0..<33).map { Int32($0 * 5 % 23) })
    let memory = GradientMemory(model)
    model.lossAndGradients(activations, into: memory.gradients, scale: 1)

    let sum = backend.allocate { $0.tensor([1], .float64) }
    backend.sumOfSquares(
      memory.gradients.arena.floats(inBytes: 0..<model.trainedByteCount), into: sum)
    let norm = sum.doubles[0].squareRoot()
    var random = Philox(seed: 5, purpose: .synthetic)
    var predicted = 0.0
    var moves: [(Tensor, [Float], [Float])] = []
    for parameter in model.namedParameters where !parameter.name.hasSuffix("mask_logits") {
      let gradient = memory.gradients[parameter.tensor].array
      let direction = gradient.map { $0 / Float(norm) + random.nextNormal() * 0.002 }
      predicted += zip(direction, gradient).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      moves.append((parameter.tensor, parameter.tensor.array, direction))
    }
    func loss(at distance: Float) -> Double {
      for (tensor, start, direction) in moves {
        tensor.assign(zip(start, direction).map { $0 + distance * $1 })
      }
      model.loss(activations)
      return activations.losses.array.reduce(0) { $0 + Double($1) }
    }
    let measured = (loss(at: 0.00025) - loss(at: -0.00025)) / 0.0005
    #expect(abs(measured - predicted) < 1e-3 * abs(predicted))
  }

  /// Gradients that do not accumulate take the place of whatever is there, with the same numbers, and
  /// layers are complete from the last to the first.
  @Test(arguments: units, [ActivationPurpose.training, .recomputingTraining])
  func gradientsTakeThePlaceOfOthers(unit: FeedForwardUnitKind, purpose: ActivationPurpose) throws {
    let configuration = ModelConfiguration(
      vocabularySize: 23, layers: 3, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(hiddenSize: 19, intermediateSize: 29, unit: unit), contextLength: 11,
      hasQKNorm: true, tiesEmbeddings: purpose == .training)
    let model = try LanguageModel(configuration, seed: 3, on: CPUBackend(threads: 2))
    let activations = model.makeActivations(sequences: 2, length: 11, purpose: purpose)
    activations.tokens.assign(integers: (0..<22).map { Int32($0 * 7 % 23) })
    activations.targets.assign(integers: (0..<22).map { Int32($0 * 5 % 23) })
    let added = GradientMemory(model).gradients
    model.lossAndGradients(activations, into: added, scale: 1)
    let replaced = Gradients(arena: GradientMemory(model).gradients.arena, accumulates: false)
    let all = replaced.arena.floats
    all.assign(repeatElement(.nan, count: all.count))
    var layers: [Int] = []
    model.lossAndGradients(activations, into: replaced, scale: 1) { layers.append($0) }
    #expect(layers == [2, 1, 0])
    for parameter in model.trainedParameters {
      #expect(
        replaced[parameter.tensor].array == added[parameter.tensor].array, "\(parameter.name)")
    }
  }

  /// Every thread draws a part of a parameter; together they draw what one does.
  @Test func anyNumberOfThreadsDrawsTheSameParameters() throws {
    let configuration = ModelConfiguration(
      vocabularySize: 403, layers: 1, attention: .init(heads: 2, kvHeads: 1, headSize: 30),
      feedForward: .init(hiddenSize: 61, intermediateSize: 149, unit: .mglu(.init(count: 2))),
      contextLength: 8)
    let one = try LanguageModel(configuration, seed: 3, on: CPUBackend(threads: 1))
    let three = try LanguageModel(configuration, seed: 3, on: CPUBackend(threads: 3))
    for (a, b) in zip(one.namedParameters, three.namedParameters) {
      #expect(a.tensor.array == b.tensor.array, "\(a.name)")
    }
  }
}

/// Gradient memory of a model's layout.
private struct GradientMemory {
  let gradients: Gradients
  init(_ model: LanguageModel) {
    gradients = Gradients(
      arena: model.backend.allocate { $0.tensor([model.trainedByteCount / 4]) }.arena)
  }
}
