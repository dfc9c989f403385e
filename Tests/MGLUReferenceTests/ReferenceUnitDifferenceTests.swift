import MGLUModel
import MGLUReference
import Testing

/// The reference against central finite differences, with masks that hold any real numbers.
@Suite struct ReferenceUnitDifferenceTests {
  /// A central difference of step 1e-5 errs by some 1e-10 through truncation and 1e-10 through
  /// cancellation; two orders of margin remain, and a wrong term shows at order 1.
  static let bound = 1e-8

  static let units: [FeedForwardUnitKind] = [
    .lu, .glu, .sharedGLU, .mglu(.init(count: 1)), .mglu(.init(count: 3)),
    .mglu(.init(count: 2, ablation: .noGateMask)),
    .mglu(.init(count: 2, ablation: .noValueMask)),
    .mglu(.init(count: 4, routerTopK: 1)), .mglu(.init(count: 4, routerTopK: 2)),
    .mglu(.init(count: 4, routerTopK: 4)),
  ]

  @Test(arguments: units, Activation.allCases)
  func everyGradientIsADifferenceQuotient(unit: FeedForwardUnitKind, activation: Activation) {
    let (unit, x, upstream) = Self.draw(unit, activation)
    let gradients = unit.backward(upstream, x: x)
    func check(
      _ gradient: ReferenceMatrix, at value: ReferenceMatrix,
      _ moved: (ReferenceMatrix) -> ReferenceMatrix, _ what: Comment
    ) {
      let measured = FiniteDifference.gradient(at: value) { moved($0).dot(upstream) }
      #expect(relativeError(gradient, measured) < Self.bound, what)
    }
    check(gradients.input, at: x, { unit($0) }, "input")
    check(gradients.weight, at: unit.weight, { unit.with(\.weight, $0)(x) }, "weight")
    if let value = unit.valueWeight, let gradient = gradients.valueWeight {
      check(gradient, at: value, { unit.with(\.valueWeight, $0)(x) }, "value weight")
    }
    for (index, mask) in unit.masks.enumerated() {
      // A route that no token takes leaves its mask without gradient.
      guard gradients.masks[index].dot(gradients.masks[index]) > 0 else { continue }
      check(
        gradients.masks[index], at: mask, { unit.with(\.masks[index], $0)(x) }, "mask \(index)")
    }
    #expect(gradients.masks.count == unit.masks.count)
    if let router = unit.router, let gradient = gradients.router {
      if router.topK == 1 {
        #expect(gradient.elements.allSatisfy { $0 == 0 }, "one route has weight 1, whatever r")
      } else {
        check(gradient, at: router.weight, { unit.with(\.router!.weight, $0)(x) }, "router")
      }
    }
  }

  /// A unit with real-valued masks, its input and the gradient of its output.
  private static func draw(
    _ kind: FeedForwardUnitKind, _ activation: Activation
  ) -> (ReferenceUnit, x: ReferenceMatrix, upstream: ReferenceMatrix) {
    let (n, h, d) = (5, 7, 3)
    var random = Philox(seed: 7, purpose: .synthetic)
    func draw(_ rows: Int, _ columns: Int, _ scale: Float = 1) -> ReferenceMatrix {
      .normal(rows: rows, columns: columns, scale: scale, using: &random)
    }
    var unit = ReferenceUnit(kind: kind, activation: activation, weight: draw(d, h, 0.6))
    switch kind {
    case .glu: unit.valueWeight = draw(d, h, 0.6)
    case .mglu(let masks):
      unit.masks = (0..<masks.count).map { _ in draw(d, h) }
      unit.router = masks.routerTopK.map {
        ReferenceRouter(weight: draw(masks.count, h, 0.6), topK: $0)
      }
    case .lu, .sharedGLU: break
    }
    return (unit, draw(n, h), draw(n, d))
  }
}

extension ReferenceUnit {
  /// This unit with another value in one place.
  fileprivate func with<Value>(
    _ path: WritableKeyPath<ReferenceUnit, Value>, _ value: Value
  ) -> ReferenceUnit {
    var unit = self
    unit[keyPath: path] = value
    return unit
  }
}
