import MGLUModel
import MGLUReference
import Testing

/// Whole models in float32 against the float64 reference: losses, logits and the gradient of
/// every parameter by its Hugging Face name.
@Suite struct ModelAgreementTests {
  /// Two blocks of float32 roundings of 6e-8 each, amplified by norms and attention: measured at
  /// most 2e-6. A wrong term in any operation shows at order 1.
  static let bound = 1e-5

  static let units: [FeedForwardUnitKind] = [
    .lu, .glu, .sharedGLU, .mglu(.init(count: 1)), .mglu(.init(count: 3)),
    .mglu(.init(count: 16)), .mglu(.init(count: 2, ablation: .noGateMask)),
    .mglu(.init(count: 2, ablation: .noValueMask)), .mglu(.init(count: 2, kind: .fixed)),
    .mglu(.init(count: 3, routerTopK: 1)), .mglu(.init(count: 3, routerTopK: 2)),
    .mglu(.init(count: 3, routerTopK: 3)),
  ]

  @Test(arguments: units, [true, false])
  func everyGradientAgreesWithTheReference(unit: FeedForwardUnitKind, tied: Bool) throws {
    for threads in [1, 2, 3] {
      try check(unit, .silu, tied: tied, on: CPUBackend(threads: threads))
    }
  }

  @Test(arguments: AttentionVariant.allCases, CPUBackend.instructionSets)
  func everyAttentionAgrees(variant: AttentionVariant, set: String) throws {
    try check(
      .mglu(.init(count: 2)), .silu, variant, tied: false,
      on: CPUBackend(threads: 3, instructionSet: set))
  }

  @Test(arguments: Activation.allCases)
  func everyActivationAgrees(activation: Activation) throws {
    try check(
      .mglu(.init(count: 2)), activation, tied: true, on: CPUBackend(threads: 2))
  }

  @Test(arguments: CPUBackend.instructionSets, [true, false])
  func everyInstructionSetAgrees(name: String, usesBLAS: Bool) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: name, usesBLAS: usesBLAS)
    for unit in Self.units { try check(unit, .gelu, tied: false, on: backend) }
  }

  /// Logits are scored in chunks of rows: enough rows for two chunks give what each text gives
  /// by itself.
  @Test func chunksOfLogitsChangeNothing() throws {
    let (vocabulary, length) = (1 << 19, 20)
    let configuration = ModelConfiguration(
      vocabularySize: vocabulary, layers: 1, attention: .init(heads: 1, kvHeads: 1, headSize: 2),
      feedForward: .init(hiddenSize: 3, intermediateSize: 2, unit: .lu),
      contextLength: length)
    let model = try LanguageModel(configuration, on: CPUBackend(threads: 2))
    model.initialize(seed: 1)
    let tokens = (0..<2 * length).map { Int32($0 * 12_345 % vocabulary) }
    let targets = (0..<2 * length).map { Int32($0 * 54_321 % vocabulary) }
    let together = run(model, tokens, targets, sequences: 2, length: length)
    let apart = [0..<length, length..<2 * length].map {
      run(
        model, Array(tokens[$0]), Array(targets[$0]), sequences: 1, length: length)
    }
    #expect(together.losses == apart[0].losses + apart[1].losses)
    for (name, gradient) in together.gradients {
      let first = try #require(apart[0].gradients[name])
      let second = try #require(apart[1].gradients[name])
      #expect(relativeError(gradient, first + second) < Self.bound, "\(name)")
    }
  }

  /// A second pass in the same memory finds what the first one left there.
  @Test(arguments: [true, false])
  func gradientsOfTwoPassesAddUp(tied: Bool) throws {
    let configuration = ModelConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 6),
      feedForward: .init(
        hiddenSize: 19, intermediateSize: 29, unit: .mglu(.init(count: 2, routerTopK: 2))),
      contextLength: 11, tiesEmbeddings: tied)
    let model = try LanguageModel.drawn(configuration, on: CPUBackend(threads: 2))
    let tokens = (0..<22).map { Int32($0 * 7 % 23) }
    let once = run(model, tokens, tokens, sequences: 2, length: 11)
    let twice = run(model, tokens, tokens, sequences: 2, length: 11, passes: 2)
    #expect(once.losses == twice.losses)
    for (name, gradient) in once.gradients {
      let doubled = try #require(twice.gradients[name])
      #expect(relativeError(doubled, 2 * gradient) < Self.bound, "\(name)")
    }
  }

  /// Draws a model and holds its pass over two texts against the reference.
  private func check(
    _ unit: FeedForwardUnitKind, _ activation: Activation, _ variant: AttentionVariant = .plain,
    tied: Bool, on backend: CPUBackend
  ) throws {
    let (length, sequences) = (11, 3)
    var configuration = ModelConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(
        hiddenSize: 19, intermediateSize: 29, unit: unit, activation: activation),
      contextLength: 13, hasQKNorm: tied, ropeTheta: 100, tiesEmbeddings: tied)
    variant.apply(to: &configuration)
    let model = try LanguageModel.drawn(configuration, on: backend)
    let rows = sequences * length
    let tokens = (0..<rows).map { Int32($0 * 7 % 23) }
    let targets = (0..<rows).map { row -> Int32 in row % 6 == 4 ? -1 : Int32(row * 5 % 23) }
    let reference = ReferenceModel(model)
    let expected = reference.lossAndGradients(tokens, targets: targets, length: length)

    let scale: Float = 0.25
    let found = run(
      model, tokens, targets, sequences: sequences, length: length, scale: scale)
    let losses = ReferenceMatrix(rows: 1, columns: rows, elements: expected.losses)
    let foundLosses = ReferenceMatrix(
      rows: 1, columns: rows, elements: found.losses.map(Double.init))
    #expect(relativeError(foundLosses, losses) < Self.bound)
    #expect(zip(targets, found.losses).allSatisfy { $0 >= 0 || $1 == 0 })

    let inference = model.makeActivations(
      sequences: sequences, length: length, purpose: .evaluation)
    inference.tokens.assign(integers: tokens)
    inference.targets.assign(integers: targets)
    model.loss(inference)
    #expect(inference.losses.array == found.losses, "the loss without gradients is the same")

    let again = run(
      model, tokens, targets, sequences: sequences, length: length, scale: scale,
      purpose: .recomputingTraining)
    #expect(again.losses == found.losses && again.gradients == found.gradients)

    let logits = model.logits(Array(tokens.prefix(length)))
    let foundLogits = ReferenceMatrix(
      rows: length, columns: 23, elements: logits.map(Double.init))
    #expect(relativeError(foundLogits, expected.logits.rows(0..<length)) < Self.bound)

    for parameter in model.namedParameters {
      guard let gradient = found.gradients[parameter.name] else {
        #expect(unit.hasFixedMasks && parameter.name.hasSuffix("mask_logits"))
        continue
      }
      let reference = Double(scale) * (try #require(expected.gradients[parameter.name]))
      if unit.routesToOne, parameter.name.hasSuffix("router.weight") {
        // One route has weight 1 whatever its logit.
        #expect(gradient.elements.allSatisfy { $0 == 0 })
      } else {
        #expect(
          relativeError(gradient, reference) < Self.bound,
          "\(parameter.name), \(activation), \(backend.summary)")
      }
    }
  }

  /// Losses and the gradients of what is trained, after `passes` over the same texts.
  private func run(
    _ model: LanguageModel, _ tokens: [Int32], _ targets: [Int32], sequences: Int, length: Int,
    scale: Float = 1, passes: Int = 1, purpose: ActivationPurpose = .training
  ) -> (losses: [Float], gradients: [String: ReferenceMatrix]) {
    let activations = model.makeActivations(
      sequences: sequences, length: length, purpose: purpose)
    activations.tokens.assign(integers: tokens)
    activations.targets.assign(integers: targets)
    let gradients = Gradients(
      arena: model.backend.allocate { $0.tensor([model.trainedByteCount / 4]) }.arena)
    for _ in 0..<passes {
      model.lossAndGradients(activations, into: gradients, scale: scale)
    }
    model.backend.synchronize()
    let trained = model.namedParameters.filter {
      $0.tensor.byteOffset < model.trainedByteCount
    }
    return (
      activations.losses.array,
      Dictionary(
        uniqueKeysWithValues: trained.map { ($0.name, ReferenceMatrix(gradients[$0.tensor])) })
    )
  }
}

extension FeedForwardUnitKind {
  fileprivate var hasFixedMasks: Bool {
    if case .mglu(let masks) = self { masks.kind == .fixed } else { false }
  }

  fileprivate var routesToOne: Bool {
    if case .mglu(let masks) = self { masks.routerTopK == 1 } else { false }
  }
}

extension LanguageModel {
  /// A model with parameters of order 1 everywhere, so that no gradient is too small to compare:
  /// norms 1 + 0.2 N(0, 1), matrices N(0, 1 / fan-in), mask logits 0.01 N(0, 1) with exact zeros.
  static func drawn(
    _ configuration: ModelConfiguration, on backend: CPUBackend
  ) throws -> LanguageModel {
    let model = try LanguageModel(configuration, on: backend)
    var random = Philox(seed: 3, purpose: .synthetic)
    for parameter in model.namedParameters {
      let tensor = parameter.tensor
      var values = (0..<tensor.count).map { _ in random.nextNormal() }
      if parameter.name.hasSuffix("norm.weight") {
        values = values.map { 1 + 0.2 * $0 }
      } else if parameter.name.hasSuffix("mask_logits") {
        values = values.enumerated().map { $0 % 5 == 0 ? 0 : 0.01 * $1 }
      } else if !parameter.name.hasSuffix("embed_tokens.weight") {
        values = values.map { $0 / Float(tensor.columns).squareRoot() }
      }
      tensor.assign(values)
    }
    return model
  }
}
