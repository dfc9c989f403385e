import MGLUModel

/// Every unit of the paper in float64, with 2 n_m separate products on real-valued masks.
///
/// It does not use the complement identity that the float32 layers rest on, and a mask may hold
/// any real number, so that its gradient can be held against finite differences. All units are a
/// sum over routes of a gate's product and a value's:
///
///     a = sum_i p_i g(x G_i^T) (.) (x V_i^T)
///
/// with (G_i, V_i) as ``factors`` says and p_i = 1 without a router.
package struct ReferenceUnit: Sendable {
  /// Which unit, with mask count, ablation and K.
  package var kind: FeedForwardUnitKind
  /// g.
  package var activation: Activation
  /// W `[d, h]`; a GLU's Wg.
  package var weight: ReferenceMatrix
  /// A GLU's Wv `[d, h]`.
  package var valueWeight: ReferenceMatrix?
  /// M_i `[d, h]`, any real numbers.
  package var masks: [ReferenceMatrix]
  /// The router, where routes are weighted.
  package var router: ReferenceRouter?

  /// A unit of these parameters.
  package init(
    kind: FeedForwardUnitKind, activation: Activation, weight: ReferenceMatrix,
    valueWeight: ReferenceMatrix? = nil, masks: [ReferenceMatrix] = [],
    router: ReferenceRouter? = nil
  ) {
    self.kind = kind
    self.activation = activation
    self.weight = weight
    self.valueWeight = valueWeight
    self.masks = masks
    self.router = router
  }

  /// M = 1 where L > 0, else 0: a logit of exactly 0 is mask 0.
  package static func mask(ofLogits logits: ReferenceMatrix) -> ReferenceMatrix {
    logits.map { $0 > 0 ? 1 : 0 }
  }

  /// The matrices G and V `[d, h]` of one route; without V the second factor is 1.
  struct Factors {
    let gate: ReferenceMatrix
    let value: ReferenceMatrix?
  }

  /// (G_i, V_i): LU (W, -), GLU (Wg, Wv), shared GLU (W, W), MGLU (M_i (.) W, (1 - M_i) (.) W) or
  /// the ablations of it that leave one W unmasked (appendix B.5).
  var factors: [Factors] {
    switch kind {
    case .lu: [Factors(gate: weight, value: nil)]
    case .glu: [Factors(gate: weight, value: valueWeight)]
    case .sharedGLU: [Factors(gate: weight, value: weight)]
    case .mglu(let configuration):
      masks.map { mask in
        Factors(
          gate: configuration.ablation == .noGateMask ? weight : mask .* weight,
          value: configuration.ablation == .noValueMask ? weight : (1 - mask) .* weight)
      }
    }
  }

  /// p `[n, n_m]`, or ones.
  func routes(_ x: ReferenceMatrix) -> ReferenceMatrix {
    router?.routes(x) ?? ReferenceMatrix(rows: x.rows, columns: factors.count, repeating: 1)
  }

  /// a `[n, d]` of x `[n, h]`.
  package func callAsFunction(_ x: ReferenceMatrix) -> ReferenceMatrix {
    let p = routes(x)
    var a = ReferenceMatrix(rows: x.rows, columns: weight.rows)
    for (i, factor) in factors.enumerated() {
      let gate = x * factor.gate.transposed
      var route = gate.map(activation.value)
      if let value = factor.value { route = route .* (x * value.transposed) }
      a += route.scalingRows(by: p.columns(i..<i + 1).elements)
    }
    return a
  }
}
