import MGLUModel
import MGLUReference
import Testing

/// The rest of the reference against central finite differences.
@Suite struct ReferenceDifferenceTests {
  /// As for the units: truncation and cancellation of a central difference, with margin.
  static let bound = 1e-8
  /// A model's loss is of order 10, so its difference quotients cancel to some 1e-10; against
  /// its smallest gradients, of norm 1e-3, that is 1e-7.
  static let modelBound = 1e-6

  @Test func normGradientsAreDifferenceQuotients() {
    var random = Philox(seed: 3, purpose: .synthetic)
    let x = ReferenceMatrix.normal(rows: 4, columns: 7, using: &random)
    let upstream = ReferenceMatrix.normal(rows: 4, columns: 7, using: &random)
    let weight = ReferenceMatrix.normal(rows: 1, columns: 7, using: &random)
    let norm = ReferenceNorm(weight: weight, epsilon: 0.1)
    let gradient = norm.backward(upstream, x: x)
    let byInput = FiniteDifference.gradient(at: x) { norm($0).dot(upstream) }
    let byWeight = FiniteDifference.gradient(at: weight) {
      ReferenceNorm(weight: $0, epsilon: 0.1)(x).dot(upstream)
    }
    #expect(relativeError(gradient.input, byInput) < Self.bound)
    #expect(relativeError(gradient.weight, byWeight) < Self.bound)
  }

  @Test(
    arguments: [(1, 1, 2), (4, 2, 6), (3, 3, 4), (5, 1, 2)].flatMap { heads, kvHeads, headSize in
      [nil, 2, 3].map {
        AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize, window: $0)
      }
    })
  func attentionGradientsAreDifferenceQuotients(shape: AttentionShape) {
    let attention = ReferenceAttention(shape)
    var random = Philox(seed: 4, purpose: .synthetic)
    let q = ReferenceMatrix.normal(rows: 5, columns: shape.queryWidth, using: &random)
    let k = ReferenceMatrix.normal(rows: 5, columns: shape.kvWidth, using: &random)
    let v = ReferenceMatrix.normal(rows: 5, columns: shape.kvWidth, using: &random)
    let upstream = ReferenceMatrix.normal(rows: 5, columns: shape.queryWidth, using: &random)
    let gradient = attention.backward(upstream, queries: q, keys: k, values: v)
    let byQuery = FiniteDifference.gradient(at: q) {
      attention(queries: $0, keys: k, values: v).dot(upstream)
    }
    let byKey = FiniteDifference.gradient(at: k) {
      attention(queries: q, keys: $0, values: v).dot(upstream)
    }
    let byValue = FiniteDifference.gradient(at: v) {
      attention(queries: q, keys: k, values: $0).dot(upstream)
    }
    #expect(relativeError(gradient.queries, byQuery) < Self.bound)
    #expect(relativeError(gradient.keys, byKey) < Self.bound)
    #expect(relativeError(gradient.values, byValue) < Self.bound)
  }

  /// The rotation is orthogonal, so the inverse rotation is both its inverse and its gradient.
  @Test(arguments: [(2, 2), (6, 6), (16, 16), (16, 6)])
  func inverseRotationIsTheGradient(headSize: Int, rotarySize: Int) {
    let rotary = ReferenceRotary(headSize: headSize, rotarySize: rotarySize, theta: 100)
    let positions = [0, 1, 7, 1000]
    var random = Philox(seed: 5, purpose: .synthetic)
    let x = ReferenceMatrix.normal(rows: 4, columns: 3 * headSize, using: &random)
    let upstream = ReferenceMatrix.normal(rows: 4, columns: 3 * headSize, using: &random)
    let gradient = rotary(upstream, positions: positions, inverse: true)
    let measured = FiniteDifference.gradient(at: x) {
      rotary($0, positions: positions).dot(upstream)
    }
    #expect(relativeError(gradient, measured) < Self.bound)
    let there = rotary(x, positions: positions)
    #expect(relativeError(there, x) > 0.1)
    #expect(relativeError(rotary(there, positions: positions, inverse: true), x) < 1e-14)
  }

  @Test func crossEntropyGradientIsADifferenceQuotient() {
    var random = Philox(seed: 6, purpose: .synthetic)
    let logits = ReferenceMatrix.normal(rows: 4, columns: 11, scale: 3, using: &random)
    let targets: [Int32] = [3, -1, 0, 10]
    let (losses, gradient) = ReferenceLoss.crossEntropy(logits, targets: targets)
    let measured = FiniteDifference.gradient(at: logits) {
      ReferenceLoss.crossEntropy($0, targets: targets).losses.reduce(0, +)
    }
    #expect(relativeError(gradient, measured) < Self.bound)
    #expect(losses[1] == 0 && gradient.rows(1..<2).elements.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [(0.5, 1.0), (1, 3), (0.2, 0.5)])
  func distillationGradientIsADifferenceQuotient(share: Double, temperature: Double) {
    var random = Philox(seed: 7, purpose: .synthetic)
    let logits = ReferenceMatrix.normal(rows: 4, columns: 11, scale: 3, using: &random)
    let teacher = ReferenceMatrix.normal(rows: 4, columns: 11, scale: 3, using: &random)
    let targets: [Int32] = [3, -1, 0, 10]
    func distillation(
      _ logits: ReferenceMatrix, _ share: Double
    ) -> (losses: [Double], gradient: ReferenceMatrix) {
      ReferenceLoss.distillation(
        logits, teacher: teacher, targets: targets, share: share, temperature: temperature)
    }
    let measured = FiniteDifference.gradient(at: logits) {
      distillation($0, share).losses.reduce(0, +)
    }
    #expect(relativeError(distillation(logits, share).gradient, measured) < Self.bound)
    // The teacher itself leaves nothing to learn from it, and no share of it is cross-entropy.
    #expect(distillation(teacher, 1).losses.allSatisfy { abs($0) < 1e-12 })
    #expect(
      distillation(logits, 0).losses
        == ReferenceLoss.crossEntropy(logits, targets: targets).losses)
  }

  static let units: [FeedForwardUnitKind] = [
    .lu, .glu, .sharedGLU, .mglu(.init(count: 2)),
    .mglu(.init(count: 2, ablation: .noGateMask)),
    .mglu(.init(count: 2, ablation: .noValueMask)), .mglu(.init(count: 3, routerTopK: 2)),
  ]

  @Test(arguments: units, [true, false])
  func everyDecoderGradientIsADifferenceQuotient(unit: FeedForwardUnitKind, tied: Bool) throws {
    let configuration = ModelConfiguration(
      vocabularySize: 7, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 2),
      feedForward: .init(hiddenSize: 5, intermediateSize: 3, unit: unit), contextLength: 3,
      hasQKNorm: !tied, hasQKVBias: tied, hasOutputBias: tied, tiesEmbeddings: tied)
    let model = try LanguageModel(configuration, on: CPUBackend(threads: 1))
    var random = Philox(seed: 8, purpose: .synthetic)
    var reference = ReferenceModel(model)
    reference.masking = .realValued
    for (name, parameter) in reference.parameters.sorted(by: { $0.key < $1.key }) {
      reference.parameters[name] = .normal(
        rows: parameter.rows, columns: parameter.columns, scale: 0.7, using: &random)
    }
    let (tokens, targets): ([Int32], [Int32]) = ([1, 4, 1, 0, 6, 2], [4, 1, 3, -1, 2, 5])
    let result = reference.lossAndGradients(tokens, targets: targets, length: 3)
    #expect(result.gradients.count == model.namedParameters.count)
    for (name, value) in reference.parameters {
      let measured = FiniteDifference.gradient(at: value) {
        var moved = reference
        moved.parameters[name] = $0
        return moved.loss(tokens, targets: targets, length: 3)
      }
      let gradient = try #require(result.gradients[name])
      #expect(relativeError(gradient, measured) < Self.modelBound, "\(name)")
    }
  }
}
