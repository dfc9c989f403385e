import MGLUModel
import MGLUReference
import MGLUTestSupport
import Testing

/// The reference against vectors that PyTorch computed in float64 (Tests/Reference).
@Suite struct FrozenVectorTests {
  /// Two float64 computations of one formula in other orders of summation: some roundings of
  /// 1e-16, and room for another machine's exponential.
  static let bound = 1e-14
  /// A model adds up some hundred roundings, and its attention cancels some of the digits.
  static let modelBound = 1e-12

  static let unitCases: [UnitCase] = {
    var cases: [UnitCase] = []
    for activation in Activation.allCases {
      let counts = [1, 2, 3] + ([.silu, .gelu].contains(activation) ? [8] : [])
      let topKs: [Int] = activation == .silu ? [1, 2, 3] : [2]
      let kinds: [(String, FeedForwardUnitKind)] =
        [("linear", .lu), ("gated", .glu), ("shared", .sharedGLU)]
        + counts.map { ("masked_\($0)", .mglu(.init(count: $0))) }
        + MaskAblation.allCases.map {
          ("masked_2_\($0.rawValue)", .mglu(.init(count: 2, ablation: $0)))
        }
        + topKs.map { ("masked_3_top\($0)", .mglu(.init(count: 3, routerTopK: $0))) }
      cases += kinds.map { UnitCase(name: $0, kind: $1, activation: activation) }
    }
    return cases
      + [1, 4, 8].map { (topK: Int) in
        UnitCase(
          name: "masked_8_top\(topK)", kind: .mglu(.init(count: 8, routerTopK: topK)),
          activation: .silu)
      }
  }()

  /// One entry of units.safetensors.
  struct UnitCase: Sendable, CustomTestStringConvertible {
    let name: String
    let kind: FeedForwardUnitKind
    let activation: Activation
    var path: String { "\(name)/\(activation.rawValue)" }
    var testDescription: String { path }
  }

  @Test(arguments: unitCases)
  func unitsAgreeWithPyTorch(unit: UnitCase) throws {
    let vectors = try frozenVectors("units")
    let x = try vectors.require("in/input")
    let upstream = try vectors.require("in/upstream")
    var reference = ReferenceUnit(
      kind: unit.kind, activation: unit.activation, weight: try vectors.require("in/weight"))
    if unit.kind == .glu { reference.valueWeight = try vectors.require("in/value_weight") }
    if case .mglu(let masks) = unit.kind {
      let logits = try vectors.require("in/mask_logits").split(8).prefix(masks.count)
      reference.masks = logits.map(ReferenceUnit.mask(ofLogits:))
      if let topK = masks.routerTopK {
        let weight = try vectors.require("in/router").rows(0..<masks.count)
        reference.router = ReferenceRouter(weight: weight, topK: topK)
      }
    }
    let gradients = reference.backward(upstream, x: x)
    func check(_ result: ReferenceMatrix, _ name: String) throws {
      let expected = try vectors.require("\(unit.path)/\(name)")
      #expect(relativeError(result, expected) < Self.bound, "\(name)")
    }
    try check(reference(x), "output")
    try check(gradients.input, "input_gradient")
    try check(gradients.weight, "weight_gradient")
    if let value = gradients.valueWeight { try check(value, "value_weight_gradient") }
    if !gradients.masks.isEmpty { try check(.stacked(gradients.masks), "masks_gradient") }
    if let router = gradients.router, let topK = reference.router?.topK {
      let expected = try vectors.require("\(unit.path)/router_gradient")
      let isZero = expected.elements.allSatisfy { $0 == 0 }
      // One route has weight 1 whatever its logit.
      #expect(isZero == (topK == 1))
      #expect(isZero ? router == expected : relativeError(router, expected) < Self.bound)
    }
  }

  @Test func normAgreesWithPyTorch() throws {
    let vectors = try frozenVectors("parts")
    let norm = ReferenceNorm(weight: try vectors.require("norm/weight"), epsilon: 0x1p-17)
    let x = try vectors.require("norm/x")
    let gradient = norm.backward(try vectors.require("norm/upstream"), x: x)
    for (result, name) in [
      (norm(x), "output"), (gradient.input, "x_gradient"), (gradient.weight, "weight_gradient"),
    ] {
      #expect(relativeError(result, try vectors.require("norm/\(name)")) < Self.bound, "\(name)")
    }
  }

  @Test(arguments: [(1, 1, 2, 5), (6, 2, 6, 7), (2, 2, 16, 11), (3, 1, 64, 5)])
  func rotaryAttentionAgreesWithPyTorch(
    heads: Int, kvHeads: Int, headSize: Int, length: Int
  ) throws {
    let vectors = try frozenVectors("parts")
    let prefix = "attention_\(heads)_\(kvHeads)_\(headSize)_\(length)/"
    let attention = ReferenceAttention(
      AttentionShape(heads: heads, kvHeads: kvHeads, headSize: headSize))
    let rotary = ReferenceRotary(headSize: headSize, theta: 10_000)
    let positions = Array(0..<length)
    let q = rotary(try vectors.require(prefix + "q"), positions: positions)
    let k = rotary(try vectors.require(prefix + "k"), positions: positions)
    let v = try vectors.require(prefix + "v")
    let gradient = attention.backward(
      try vectors.require(prefix + "upstream"), queries: q, keys: k, values: v)
    for (result, name) in [
      (attention(queries: q, keys: k, values: v), "output"),
      (rotary(gradient.queries, positions: positions, inverse: true), "q_gradient"),
      (rotary(gradient.keys, positions: positions, inverse: true), "k_gradient"),
      (gradient.values, "v_gradient"),
    ] {
      #expect(relativeError(result, try vectors.require(prefix + name)) < Self.bound, "\(name)")
    }
  }

  @Test func crossEntropyAgreesWithPyTorch() throws {
    let vectors = try frozenVectors("parts")
    let targets = try vectors.require("loss/targets").elements.map { Int32($0) }
    #expect(targets.contains(-1))
    let (losses, gradient) = ReferenceLoss.crossEntropy(
      try vectors.require("loss/logits"), targets: targets)
    let expected = try vectors.require("loss/losses")
    let found = ReferenceMatrix(rows: 1, columns: losses.count, elements: losses)
    #expect(relativeError(found, expected) < Self.bound)
    #expect(
      relativeError(gradient, try vectors.require("loss/logits_gradient")) < Self.bound)
  }

  static let models: [(String, FeedForwardUnitKind, Activation)] = [
    ("linear_gelu_tied", .lu, .gelu), ("gated_silu", .glu, .silu),
    ("shared_silu_tied", .sharedGLU, .silu),
    ("masked_2_silu_tied", .mglu(.init(count: 2)), .silu),
    ("masked_3_gelu", .mglu(.init(count: 3)), .gelu),
    ("masked_2_no_gate_mask_tied", .mglu(.init(count: 2, ablation: .noGateMask)), .silu),
    ("masked_2_no_value_mask", .mglu(.init(count: 2, ablation: .noValueMask)), .silu),
    ("masked_3_top2_tied", .mglu(.init(count: 3, routerTopK: 2)), .silu),
  ]

  @Test(arguments: models)
  func decoderAgreesWithPyTorch(
    name: String, unit: FeedForwardUnitKind, activation: Activation
  ) throws {
    let vectors = try frozenVectors("decoder_\(name)")
    let tied = name.hasSuffix("tied")
    let configuration = ModelConfiguration(
      vocabularySize: 11, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
      feedForward: .init(
        hiddenSize: 7, intermediateSize: 5, unit: unit, activation: activation),
      contextLength: 5, normEpsilon: 0x1p-17, tiesEmbeddings: tied)
    let names = try LanguageModel(configuration, on: CPUBackend(threads: 1)).namedParameters.map(
      \.name)
    let reference = ReferenceModel(
      configuration,
      parameters: Dictionary(
        uniqueKeysWithValues: try names.map { ($0, try vectors.require("parameter/\($0)")) }))
    let result = reference.lossAndGradients(
      try vectors.require("tokens").elements.map { Int32($0) },
      targets: try vectors.require("targets").elements.map { Int32($0) }, length: 5)
    let losses = ReferenceMatrix(rows: 1, columns: 10, elements: result.losses)
    #expect(relativeError(losses, try vectors.require("losses")) < Self.modelBound)
    #expect(relativeError(result.logits, try vectors.require("logits")) < Self.modelBound)
    for name in names {
      let gradient = try #require(result.gradients[name])
      let expected = try vectors.require("gradient/\(name)")
      #expect(relativeError(gradient, expected) < Self.modelBound, "\(name)")
    }
  }

  @Test func optimizerAgreesWithPyTorch() throws {
    let vectors = try frozenVectors("adamw")
    var optimizer = ReferenceAdamW(beta1: 0.9, beta2: 0.99, epsilon: 1e-8, clipNorm: 1)
    var parameters = [
      "matrix": try vectors.require("matrix/0"), "norm": try vectors.require("norm/0"),
    ]
    var norms: [Double] = []
    for step in 1...3 {
      norms.append(
        optimizer.step(
          &parameters,
          gradients: [
            "matrix": try vectors.require("matrix_gradient/\(step)"),
            "norm": try vectors.require("norm_gradient/\(step)"),
          ], learningRate: 0.02 / Double(step)
        ) { $0 == "matrix" ? 0.1 : 0 })
      for (name, value) in parameters {
        let expected = try vectors.require("\(name)/\(step)")
        #expect(relativeError(value, expected) < Self.bound, "\(name), step \(step)")
      }
    }
    #expect(norms[0] > 1 && norms[1] < 1, "clipping must be on in one step and off in another")
  }
}

/// The vectors that Tests/Reference/units_and_decoder.py wrote.
private func frozenVectors(_ name: String) throws -> SafeTensors {
  try SafeTensors(path: "\(RepositoryFolder.vectors)/\(name).safetensors")
}

extension SafeTensors {
  /// The matrix called `name`, or a failed test.
  fileprivate func require(_ name: String) throws -> ReferenceMatrix {
    try #require(matrix(name), "\(name) is missing")
  }
}
