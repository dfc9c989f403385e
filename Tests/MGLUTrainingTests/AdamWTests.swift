import MGLUReference
import MGLUTestSupport
import MGLUTraining
import Testing

/// AdamW against PyTorch's and against the float64 reference.
@Suite struct AdamWTests {
  /// Float32 weights, moments and updates of a few steps round by 2^-24 each, and 1 - b2 of a
  /// float32 b2 = 0.99 is off by 1e-6, of which the bias correction takes most back.
  static let bound = 1e-6
  /// The same for what the steps changed: it keeps the rounding of the weights, which are up to a
  /// hundred times as large.
  static let changeBound = 1e-5

  @Test func kernelAgreesWithPyTorch() throws {
    let vectors = try SafeTensors(path: RepositoryFolder.vectors + "/adamw.safetensors")
    func vector(_ name: String) throws -> ReferenceMatrix {
      try #require(vectors.matrix(name), "\(name) is missing")
    }
    for name in CPUBackend.instructionSets {
      let backend = try CPUBackend(threads: 2, instructionSet: name)
      for (parameter, decay): (String, Float) in [("matrix", 0.1), ("norm", 0)] {
        let start = try vector("\(parameter)/0")
        let t = backend.allocate { layout in
          (0..<4).map { _ in layout.tensor([start.elements.count]) }
        }
        let squaredNorm = backend.allocate { $0.tensor([1], .float64) }
        t[0].assign(start.floats)
        for step in 1...3 {
          let gradients = [
            try vector("matrix_gradient/\(step)"), try vector("norm_gradient/\(step)"),
          ]
          squaredNorm.doubles[0] = gradients.reduce(0) { $0 + $1.dot($1) }
          t[1].assign(try vector("\(parameter)_gradient/\(step)").floats)
          backend.adamW(
            t[0], gradient: t[1], firstMoment: t[2], secondMoment: t[3], copy: nil,
            squaredNorm: squaredNorm,
            step: AdamWStep(
              learningRate: 0.02 / Float(step), beta1: 0.9, beta2: 0.99, epsilon: 1e-8,
              weightDecay: decay, step: step, clipNorm: 1))
          backend.synchronize()
          let expected = try vector("\(parameter)/\(step)")
          let found = ReferenceMatrix(
            rows: start.rows, columns: start.columns, elements: t[0].array.map(Double.init))
          #expect(relativeError(found, expected) < Self.bound)
          #expect(relativeError(found - start, expected - start) < Self.changeBound)
        }
      }
    }
  }

  static let units: [FeedForwardUnitKind] = [
    .glu, .mglu(.init(count: 2)), .mglu(.init(count: 3, routerTopK: 2)),
    .mglu(.init(count: 2, kind: .fixed)),
  ]

  @Test(arguments: units, [true, false])
  func wholeModelStepsAsTheReferenceDoes(unit: FeedForwardUnitKind, tied: Bool) throws {
    let model = try Self.model(unit, tied: tied)
    let settings = AdamW.Settings(weightDecay: 0.1, clipNorm: 20)
    let optimizer = AdamW(settings, for: model)
    var reference = ReferenceAdamW(
      beta1: Double(settings.beta1), beta2: Double(settings.beta2),
      epsilon: Double(settings.epsilon), clipNorm: Double(settings.clipNorm))
    let start = ReferenceModel(model).parameters
    var expected = start
    let trained = model.namedParameters.filter {
      unit != .mglu(.init(count: 2, kind: .fixed)) || !$0.name.hasSuffix("mask_logits")
    }
    var random = Philox(seed: 9, purpose: .synthetic)
    for step in 1...3 {
      var gradients: [String: ReferenceMatrix] = [:]
      for parameter in trained {
        // The second step's gradients stay below the clipping norm.
        let gradient = ReferenceMatrix.normal(
          rows: parameter.tensor.rows, columns: parameter.tensor.columns,
          scale: step == 2 ? 0.1 : 1, using: &random)
        gradients[parameter.name] = gradient
        optimizer.gradients[parameter.tensor].assign(gradient.floats)
      }
      optimizer.step(model, learningRate: 0.01, step: step)
      let norm = optimizer.gradientNorm
      let expectedNorm = reference.step(
        &expected, gradients: gradients, learningRate: Double(Float(0.01))
      ) { $0.hasSuffix("norm.weight") ? 0 : Double(settings.weightDecay) }
      #expect(abs(norm - expectedNorm) < Self.bound * expectedNorm)
      #expect((expectedNorm > 20) == (step != 2), "clipping must be on in 1 and 3, off in 2")
    }
    let found = ReferenceModel(model).parameters
    for (name, before) in start {
      let (after, reference) = (try #require(found[name]), try #require(expected[name]))
      if trained.contains(where: { $0.name == name }) {
        #expect(relativeError(after - before, reference - before) < Self.changeBound, "\(name)")
      } else {
        #expect(after == before, "\(name) is not trained")
      }
    }
  }

  /// Corrections such as 1 - 0.999^2 must not be differences of float32 numbers.
  @Test(arguments: [1, 2, 3, 10, 1000, 1_000_000])
  func biasCorrectionKeepsItsDigits(step: Int) throws {
    let backend = try CPUBackend(threads: 1)
    let (t, norm) = backend.allocate { layout in
      ((0..<4).map { _ in layout.tensor([16]) }, layout.tensor([1], .float64))
    }
    let (first, second): (Float, Float) = (0.375, 0.0625)
    t[2].assign(repeatElement(first, count: 16))
    t[3].assign(repeatElement(second, count: 16))
    let (beta1, beta2): (Float, Float) = (0.9, 0.999)
    backend.adamW(
      t[0], gradient: t[1], firstMoment: t[2], secondMoment: t[3], copy: nil,
      squaredNorm: norm,
      step: AdamWStep(
        learningRate: 1, beta1: beta1, beta2: beta2, epsilon: 0, weightDecay: 0, step: step))
    backend.synchronize()
    func power(_ base: Float) -> Double {
      (0..<step).reduce(1.0) { result, _ in result * Double(base) }
    }
    let m = Double(beta1) * Double(first) / (1 - power(beta1))
    let v = Double(beta2) * Double(second) / (1 - power(beta2))
    let expected = -m / v.squareRoot()
    #expect(t[0].array.allSatisfy { abs(Double($0) - expected) < 5e-7 * abs(expected) })
  }

  @Test func gradientThatIsNotFiniteChangesNothing() throws {
    let model = try Self.model(.mglu(.init(count: 2)), tied: true)
    let optimizer = AdamW(AdamW.Settings(), for: model)
    let before = ReferenceModel(model).parameters
    for parameter in model.namedParameters {
      optimizer.gradients[parameter.tensor].assign(
        repeatElement(.infinity, count: parameter.tensor.count))
    }
    optimizer.step(model, learningRate: 1, step: 1)
    #expect(!optimizer.gradientNorm.isFinite)
    let gradient = optimizer.gradients[model.weights.norm]
    #expect(gradient.array.allSatisfy { $0 == .infinity }, "the origin can still be looked for")
    #expect(ReferenceModel(model).parameters == before)
  }

  /// A model whose weights are of the size of its updates, so that these keep their digits.
  private static func model(_ unit: FeedForwardUnitKind, tied: Bool) throws -> LanguageModel {
    let configuration = ModelConfiguration(
      vocabularySize: 23, layers: 2, attention: .init(heads: 2, kvHeads: 1, headSize: 6),
      feedForward: .init(hiddenSize: 13, intermediateSize: 17, unit: unit), contextLength: 8,
      tiesEmbeddings: tied)
    let model = try LanguageModel(configuration, on: CPUBackend(threads: 2))
    var random = Philox(seed: 1, purpose: .synthetic)
    for parameter in model.namedParameters {
      parameter.tensor.assign((0..<parameter.tensor.count).map { _ in random.nextNormal() * 0.1 })
    }
    return model
  }
}
