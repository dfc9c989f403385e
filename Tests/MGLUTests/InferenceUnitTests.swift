import MGLU
import MGLUDiagnostics
import MGLUModel
import Testing

/// FlashMGLU and its kin against the float64 reference over the weights that are really stored.
@Suite struct InferenceUnitTests {
  static let units: [FeedForwardUnitKind] =
    [.linear, .sharedGated, .gated]
    + [1, 2, 3, 4, 8, 11, 16].map { .masked(.init(count: $0)) }
    + [
      .masked(.init(count: 2, ablation: .noGateMask)),
      .masked(.init(count: 5, ablation: .noValueMask)), .masked(.init(count: 4, routerTopK: 2)),
    ]
  /// d x h: below, at and beyond groups of 32, pairs of groups, and 512-element strides.
  static let shapes = [(1, 1), (17, 33), (16, 96), (37, 577), (5, 1024)]

  /// Exact inputs: float32 sums in another order than float64, 1e-5 at most. Reduced: BF16 keeps 8
  /// bits, 2^-9 relative per product at most, which a gate's two factors double; 8-bit inputs keep
  /// 1/254 of a group's largest, some 1e-2 relative to their mean.
  static func bound(_ type: WeightType, _ precision: ActivationPrecision) -> Double {
    switch (type, precision) {
    case (.bfloat16, .reduced): 1e-2
    case (.int8, .reduced): 3e-2
    default: 1e-5
    }
  }

  @Test(arguments: CPUBackend.instructionSets, WeightType.allCases)
  func unitsAgreeWithTheReference(instructionSet: String, type: WeightType) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    for kind in Self.units {
      for (d, h) in Self.shapes {
        let synthetic = SyntheticUnit(
          .init(hiddenSize: h, intermediateSize: d, unit: kind, activation: .silu), rows: 3)
        let (unit, reference) = Self.unit(synthetic, as: type, on: backend)
        let (_, x) = backend.allocate { $0.tensor([3, h]) }
        x.assign(synthetic.input.floats)
        let expected = reference(synthetic.input)
        for precision in ActivationPrecision.allCases {
          let a = unit(x, precision: precision, on: backend)
          // One row, or one column, has no mean to average errors in; a row of zeros no scale.
          let slack = d * h < 64 && precision == .reduced ? 10.0 : 1
          let size = expected.dot(expected).squareRoot()
          #expect(
            relativeError(ReferenceMatrix(a), expected, floor: max(size, 1e-3))
              < slack * Self.bound(type, precision),
            "\(kind) [\(d), \(h)] \(precision)")
          for row in 0..<3 {
            #expect(
              unit(x[row..<row + 1], precision: precision, on: backend).array
                == a[row..<row + 1].array, "row \(row) depends on its batch")
          }
        }
      }
    }
  }

  /// The unit over weights of `type`, and the reference over the same, widened.
  private static func unit(
    _ synthetic: SyntheticUnit, as type: WeightType, on backend: CPUBackend
  ) -> (any InferenceUnit, ReferenceUnit) {
    let c = synthetic.configuration
    let (d, h) = (c.intermediateSize, c.hiddenSize)
    func stored(_ matrix: ReferenceMatrix) -> (StoredMatrix, ReferenceMatrix) {
      let (_, (source, target)) = backend.allocate { layout in
        (layout.tensor([d, h]), layout.tensor([d, h]))
      }
      source.assign(matrix.floats)
      let stored = backend.quantise(source, as: type)
      backend.dequantise(stored, into: target)
      return (stored, ReferenceMatrix(target))
    }
    var reference = synthetic.reference()
    let (weight, wide) = stored(reference.weight)
    reference.weight = wide
    let unit: any InferenceUnit
    switch c.unit {
    case .linear: unit = FlashLU(weight, activation: c.activation, on: backend)
    case .sharedGated:
      unit = FlashLU(weight, activation: c.activation, isShared: true, on: backend)
    case .gated:
      let (value, wideValue) = stored(reference.valueWeight!)
      reference.valueWeight = wideValue
      unit = FlashGLU(gate: weight, value: value, activation: c.activation, on: backend)
    case .masked(let masks):
      let (_, logits) = backend.allocate { $0.tensor([masks.count, d, h]) }
      logits.assign(synthetic.maskLogits.floats)
      let router = synthetic.router.map { matrix in
        let (_, weight) = backend.allocate { $0.tensor([masks.count, h]) }
        weight.assign(matrix.floats)
        return FlashRouter(
          StoredMatrix(weights: weight), topK: masks.routerTopK ?? 1, on: backend)
      }
      unit = FlashMGLU(
        weight, masks: MaskBits.pack(logits, on: backend), activation: c.activation,
        ablation: masks.ablation, router: router, on: backend)
    }
    return (unit, reference)
  }
}
