import MGLUModel

/// A unit with random parameters and inputs, the same for the reference and for a float32 layer:
/// every number is representable in float32.
package struct SyntheticUnit: Sendable {
  /// Sizes and kind.
  package let configuration: FeedForwardConfiguration
  /// X `[n, h]`, N(0, 1).
  package let input: ReferenceMatrix
  /// dA `[n, d]`, N(0, 1).
  package let upstream: ReferenceMatrix
  /// W, or Wg over Wv, N(0, 1 / h).
  package let weight: ReferenceMatrix
  /// L `[n_m d, h]`, 0.01 N(0, 1), every fifth exactly 0: a tie, which is mask 0.
  package let maskLogits: ReferenceMatrix
  /// Wr `[n_m, h]`, N(0, 1 / h), the middle row and the last 0: their routes tie at exactly 0 in
  /// any order of summation.
  package let router: ReferenceMatrix?

  /// Draws everything for `rows` tokens.
  package init(_ configuration: FeedForwardConfiguration, rows: Int, seed: UInt64 = 1) {
    let (h, d) = (configuration.hiddenSize, configuration.intermediateSize)
    let scale = 1 / Float(h).squareRoot()
    var random = Philox(seed: seed, purpose: .synthetic)
    self.configuration = configuration
    input = .normal(rows: rows, columns: h, using: &random)
    upstream = .normal(rows: rows, columns: d, using: &random)
    let matrices = configuration.unit.matrices
    weight = .normal(rows: matrices * d, columns: h, scale: scale, using: &random)
    var logits = ReferenceMatrix(rows: 0, columns: h)
    var router: ReferenceMatrix?
    if let masks = configuration.unit.masks {
      logits = .normal(rows: masks.count * d, columns: h, scale: 0.01, using: &random)
      for index in stride(from: 0, to: logits.elements.count, by: 5) { logits.elements[index] = 0 }
      if masks.routerTopK != nil {
        var weight = ReferenceMatrix.normal(
          rows: masks.count, columns: h, scale: scale, using: &random)
        for row in Set([masks.count / 2, masks.count - 1]) where masks.count > 2 {
          for column in 0..<h { weight[row, column] = 0 }
        }
        router = weight
      }
    }
    maskLogits = logits
    self.router = router
  }

  /// The reference of this unit; `mask` makes masks of logits.
  package func reference(
    mask: (ReferenceMatrix) -> ReferenceMatrix = ReferenceUnit.mask(ofLogits:)
  ) -> ReferenceUnit {
    var unit = ReferenceUnit(
      kind: configuration.unit, activation: configuration.activation, weight: weight)
    let parts = weight.split(configuration.unit.matrices)
    unit.weight = parts[0]
    if parts.count == 2 { unit.valueWeight = parts[1] }
    if let masks = configuration.unit.masks {
      unit.masks = maskLogits.split(masks.count).map(mask)
      unit.router = router.map { ReferenceRouter(weight: $0, topK: masks.routerTopK ?? 1) }
    }
    return unit
  }

  /// Output and gradients, as `[n, d]` and so on; weights and masks as they are stored.
  package struct Results: Sendable {
    /// a `[n, d]`.
    package var output: ReferenceMatrix
    /// dX `[n, h]`.
    package var input: ReferenceMatrix
    /// dW, or dWg over dWv.
    package var weight: ReferenceMatrix
    /// dL `[n_m d, h]`.
    package var maskLogits: ReferenceMatrix
    /// dWr `[n_m, h]`.
    package var router: ReferenceMatrix?
  }

  /// What the reference makes of it. The gradient of fixed masks is zero.
  package var expected: Results {
    let unit = reference()
    let gradients = unit.backward(upstream, x: input)
    var masks = gradients.masks
    if configuration.unit.masks?.kind == .fixed { masks = masks.map(\.zeros) }
    return Results(
      output: unit(input), input: gradients.input,
      weight: .stacked([gradients.weight] + (gradients.valueWeight.map { [$0] } ?? [])),
      maskLogits: masks.isEmpty ? maskLogits : .stacked(masks), router: gradients.router)
  }
}

extension ReferenceMatrix {
  /// N(0, scale^2), each element a float32 number.
  package static func normal(
    rows: Int, columns: Int, scale: Float = 1, using random: inout Philox
  ) -> ReferenceMatrix {
    ReferenceMatrix(rows: rows, columns: columns) { _, _ in
      Double(random.nextNormal() * scale)
    }
  }
}
