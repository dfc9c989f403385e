import MGLU
import MGLUReference
import Testing

/// The float32 layers against the float64 reference: one wide product over masked stacks against
/// 2 n_m separate products.
@Suite struct UnitAgreementTests {
  /// A sum of k float32 products errs by at most k 2^-24 of the sum of their magnitudes, and by
  /// about sqrt(k) 2^-24 as a rule: 1e-6 for the widest sum here. Ten times that leaves room for
  /// the cancellation in t - s_i and none for a wrong term, a lost row or a flipped mask.
  static let bound = 1e-5

  /// Sizes h, d and n: one element, smaller than a vector, odd and prime, more than one block.
  static let shapes = [
    Shape(h: 1, d: 1, n: 1), Shape(h: 3, d: 2, n: 5), Shape(h: 13, d: 17, n: 7),
    Shape(h: 67, d: 131, n: 29), Shape(h: 127, d: 61, n: 37),
  ]

  struct Shape: Sendable, CustomTestStringConvertible {
    let h: Int
    let d: Int
    let n: Int
    var testDescription: String { "h \(h), d \(d), n \(n)" }

    func draw(_ unit: FeedForwardUnitKind, _ activation: Activation) -> SyntheticUnit {
      SyntheticUnit(
        FeedForwardConfiguration(
          hiddenSize: h, intermediateSize: d, unit: unit, activation: activation),
        rows: n)
    }
  }

  static let units: [FeedForwardUnitKind] =
    [.lu, .glu, .sharedGLU]
    + [1, 2, 3, 8, 16].map { (count: Int) in .mglu(.init(count: count)) }
    + MaskAblation.allCases.map { .mglu(.init(count: 3, ablation: $0)) }
    + [1, 3, 8].map { (topK: Int) in .mglu(.init(count: 8, routerTopK: topK)) }
    + [
      .mglu(.init(count: 2, kind: .fixed)),
      .mglu(.init(count: 3, ablation: .noValueMask, routerTopK: 2)),
    ]

  @Test(arguments: units, shapes)
  func layersAgreeWithTheReference(unit: FeedForwardUnitKind, shape: Shape) throws {
    let backend = try CPUBackend(threads: 2)
    for activation in Activation.allCases {
      let synthetic = shape.draw(unit, activation)
      check(synthetic.results(on: backend), synthetic, "\(activation)")
    }
  }

  static let few: [FeedForwardUnitKind] = [
    .glu, .mglu(.init(count: 3)), .mglu(.init(count: 8, routerTopK: 3)),
  ]

  @Test(arguments: few, [1, 2, 3])
  func agreementHoldsOnAnyNumberOfThreads(unit: FeedForwardUnitKind, threads: Int) throws {
    let backend = try CPUBackend(threads: threads)
    // Enough rows that the element-wise passes split, too.
    for shape in [Shape(h: 5, d: 7, n: 1031), Shape(h: 131, d: 67, n: 3)] {
      let synthetic = shape.draw(unit, .silu)
      check(synthetic.results(on: backend), synthetic, "\(threads) threads, \(shape)")
    }
  }

  @Test(arguments: CPUBackend.instructionSets, [true, false])
  func agreementHoldsUnderEveryInstructionSet(name: String, usesBLAS: Bool) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: name, usesBLAS: usesBLAS)
    #expect(backend.summary.contains(name))
    for unit in Self.units {
      for activation in Activation.allCases {
        let synthetic = Self.shapes[2].draw(unit, activation)
        check(synthetic.results(on: backend), synthetic, "\(unit), \(activation)")
      }
      let synthetic = Self.shapes[3].draw(unit, .gelu)
      check(synthetic.results(on: backend), synthetic, "\(unit), larger")
    }
  }

  @Test(arguments: few)
  func parameterGradientsAddUp(unit: FeedForwardUnitKind) throws {
    let backend = try CPUBackend(threads: 2)
    let synthetic = Self.shapes[2].draw(unit, .silu)
    let start: Float = 0.25
    var results = synthetic.results(on: backend, initialGradient: start)
    results.weight = results.weight.map { $0 - Double(start) }
    results.router = results.router?.map { $0 - Double(start) }
    if case .mglu = unit {
      results.maskLogits = results.maskLogits.map { $0 - Double(start) }
    }
    // The bound is relative to gradients of the start's size: its rounding is theirs.
    check(results, synthetic, "on top of \(start)", floor: Double(start))
  }

  /// Drawn logits hold exact zeros; were they taken as ones, nothing above would pass.
  @Test(arguments: [1, 3])
  func tiesAreMaskZeroAndMatter(masks: Int) throws {
    let synthetic = Self.shapes[2].draw(.mglu(.init(count: masks)), .silu)
    #expect(synthetic.maskLogits.elements.contains(0))
    let otherwise = synthetic.reference { $0.map { $0 >= 0 ? 1 : 0 } }
    let output = otherwise(synthetic.input)
    #expect(relativeError(output, synthetic.expected.output) > 1000 * Self.bound)
  }

  @Test func routesThatDrawTakeTheLowerIndex() throws {
    let rows: [[Double]] = [
      [1, 1, 1, 1, 1], [0, 2, 2, -1, 2], [-3, -2, -3, -2, -2], [0, -0.0, 5, 0, 0],
    ]
    let logits = ReferenceMatrix(rows: 4, columns: 5, elements: rows.flatMap { $0 })
    let backend = try CPUBackend(threads: 1)
    for topK in 1...5 {
      let (r, p) = backend.allocate { ($0.tensor([4, 5]), $0.tensor([4, 5])) }
      r.assign(logits.floats)
      backend.route(r, topK: topK, into: p)
      let weight = ReferenceMatrix(rows: 5, columns: 1)
      let expected = ReferenceRouter(weight: weight, topK: topK).routes(ofLogits: logits)
      #expect(relativeError(ReferenceMatrix(p), expected) < Self.bound)
      #expect(zip(p.array, expected.elements).allSatisfy { ($0 == 0) == ($1 == 0) })
    }
  }

  /// Drawn routers hold two rows of zeros, whose routes tie wherever the others do not cover K.
  @Test func drawnRoutersTieAtTheLastRoute() throws {
    let synthetic = Self.shapes[2].draw(.mglu(.init(count: 8, routerTopK: 3)), .silu)
    let router = try #require(synthetic.reference().router)
    let routes = router.routes(synthetic.input)
    // Rows 4 and 7 tie: the lower is in and the higher out where the tie decides.
    #expect((0..<routes.rows).contains { routes[$0, 4] > 0 && routes[$0, 7] == 0 })
    #expect(!(0..<routes.rows).contains { routes[$0, 4] == 0 && routes[$0, 7] > 0 })
  }

  @Test(arguments: [1, 2, 3])
  func resultsAreEqualBitForBitOnAnEqualNumberOfThreads(threads: Int) throws {
    let synthetic = Self.shapes[3].draw(.mglu(.init(count: 3, routerTopK: 2)), .silu)
    let first = synthetic.results(on: try CPUBackend(threads: threads))
    let second = synthetic.results(on: try CPUBackend(threads: threads))
    #expect(first.output == second.output && first.input == second.input)
    #expect(first.weight == second.weight && first.maskLogits == second.maskLogits)
    #expect(first.router == second.router)
  }

  /// Holds every result against the reference.
  private func check(
    _ results: SyntheticUnit.Results, _ synthetic: SyntheticUnit, _ what: String,
    floor: Double = 0
  ) {
    let expected = synthetic.expected
    // With one element a factor of a masked product is always 0, and gradients vanish by
    // cancellation of terms of order 1: there the bound is absolute.
    let floor = synthetic.configuration.hiddenSize == 1 ? 1 : floor
    func check(_ result: ReferenceMatrix, _ reference: ReferenceMatrix, _ name: String) {
      let error = relativeError(result, reference, floor: floor)
      #expect(error < Self.bound, "\(name), \(what)")
    }
    check(results.output, expected.output, "output")
    check(results.input, expected.input, "input gradient")
    check(results.weight, expected.weight, "weight gradient")
    if case .mglu(let masks) = synthetic.configuration.unit {
      if masks.kind == .fixed {
        #expect(results.maskLogits.elements.allSatisfy { $0 == 0 }, "fixed masks, \(what)")
      } else {
        check(results.maskLogits, expected.maskLogits, "mask logit gradient")
      }
      guard let router = results.router, let reference = expected.router else {
        #expect(masks.routerTopK == nil, "no router gradient, \(what)")
        return
      }
      if masks.routerTopK == 1 {
        // One route has weight 1 whatever its logit.
        #expect(router.elements.allSatisfy { abs($0) <= floor }, "router of one, \(what)")
      } else {
        check(router, reference, "router gradient")
      }
    }
  }
}
