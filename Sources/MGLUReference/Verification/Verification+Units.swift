import MGLUModel

/// Units for inference.
extension Verification {
  /// The units of the family, at the mask counts that kernels treat differently.
  package static let units: [FeedForwardUnitKind] =
    [.lu, .sharedGLU, .glu]
    + [1, 2, 3, 4, 8, 11, 16].map { .mglu(.init(count: $0)) }
    + [
      .mglu(.init(count: 2, ablation: .noGateMask)),
      .mglu(.init(count: 5, ablation: .noValueMask)), .mglu(.init(count: 4, routerTopK: 2)),
    ]
  /// d x h: below, at and beyond groups of 32, words of 64, and 512-element strides.
  package static let shapes = [(1, 1), (17, 33), (16, 96), (37, 577), (5, 1024)]
  /// Rows of x, of which kernels take up to four together.
  package static let rows = 7

  /// Rows that fill a pass of any kernel, and do not, and need several.
  package static let batches = [1, 3, 8, 13, 16, 33, 100, 256, 259]

  private struct Case {
    var kind: FeedForwardUnitKind
    var (d, h, rows): (Int, Int, Int)
    var activation = Activation.silu
  }

  private static let shaped = units.flatMap { kind in
    shapes.map { Case(kind: kind, d: $0.0, h: $0.1, rows: rows) }
  }

  private static let batched = [units[0], units[2], units[3], units[6], units[9], units[12]]
    .flatMap { kind in batches.map { Case(kind: kind, d: 37, h: 577, rows: $0) } }

  /// More columns than a GPU's shared memory holds: of one row, of all rows, and beside the sums of
  /// the most masks.
  private static let wide = [
    Case(kind: .glu, d: 3, h: 120_000, rows: 1),
    Case(kind: .mglu(.init(count: 1)), d: 17, h: 120_000, rows: 3),
    Case(kind: .mglu(.init(count: 16)), d: 1, h: 120_000, rows: 17),
    Case(kind: .mglu(.init(count: 2)), d: 17, h: 15_000, rows: 16),
  ]

  /// Prompts that GPUs compute in tiles of every size: few rows in small ones, more in larger ones, also
  /// where the last are not full, and a part of a call's rows.
  private static let prompts = [
    units[0], units[2], units[3], units[4], units[6], units[7], units[9],
  ]
  .flatMap { kind in
    [(300, 577, 130), (4200, 70, 300)].map { Case(kind: kind, d: $0.0, h: $0.1, rows: $0.2) }
  }

  /// Every activation, in a unit whose kernels differ in nothing else.
  private static let activated = Activation.allCases.map {
    Case(kind: .glu, d: 37, h: 577, rows: 3, activation: $0)
  }

  /// Units for inference over weights of `type`: every unit at every shape, batches, wide inputs,
  /// every activation.
  package func inferenceUnits(_ type: WeightType) throws(BackendError) -> [Finding] {
    try units("FlashMGLU, GLU, LU", Self.shaped, type)
      + units("the same in batches", Self.batched, type)
      + units("the same, wide", Self.wide, type)
      + units("the same, activations", Self.activated, type)
      // The host's kernels have no tiles that depend on the rows.
      + (isHost ? [] : units("the same, prompts", Self.prompts, type))
  }

  /// A finding for each precision; a batch's last row must also be what it is alone, bit for bit. Where
  /// rows of prompts have bits of their own, the same holds for these, and a row that decodes has its
  /// own beside them.
  private func units(
    _ name: String, _ cases: [Case], _ type: WeightType
  ) throws(BackendError) -> [Finding] {
    let precisions = InputPrecision.allCases
    var findings = precisions.map { Finding(name, on: set, weights: type, activations: $0) }
    let prepared = cases.map { item in
      let synthetic = SyntheticUnit(
        .init(
          hiddenSize: item.h, intermediateSize: item.d, unit: item.kind,
          activation: item.activation), rows: item.rows)
      let (unit, reference) = synthetic.inferenceUnit(as: type, on: backend)
      return (item, unit, reference, synthetic.input, x: hostTensor(synthetic.input))
    }
    // All kernels at once: one after the other they would be compiled for minutes.
    backend.prepare {
      for (item, unit, _, _, x) in prepared {
        let last = x[item.rows - 1..<item.rows]
        for precision in precisions {
          for (x, promptRows) in [(x, 0), (last, 0), (x, item.rows), (last, 1), (x, item.rows / 2)]
          {
            // What fails fails again below.
            _ = try? unit(x, promptRows: promptRows, precision: precision, on: backend)
          }
        }
      }
    }
    for (item, unit, reference, input, x) in prepared {
      let (d, h, rows) = (item.d, item.h, item.rows)
      let expected = reference(input)
      // One row, or one column, has no mean to average errors in; a row of zeros no scale. Some dozens
      // of outputs have a scattered one.
      let small = d * h < 64 ? 10.0 : d * rows < 64 ? 2 : 1
      for (index, precision) in precisions.enumerated() {
        let slack = precision == .reduced ? small : 1
        let bound = slack * bound(type, precision, columns: h)
        let label = "\(item.kind.label), \(item.activation), \(rows) rows, \(d) x \(h)"
        let a = try unit(x, precision: precision, on: backend)
        findings[index].add(
          ReferenceMatrix(a), expected: expected, bound: bound, floor: 1e-3, label)
        let last = rows - 1..<rows
        let alone = try unit(x[last], precision: precision, on: backend)
        if alone.array != a[last].array {
          findings[index].add(error: .infinity, bound: bound, label + ", the last alone")
        }
        let prompt = try unit(x, promptRows: rows, precision: precision, on: backend)
        if prompt.array == a.array { continue }
        findings[index].add(
          ReferenceMatrix(prompt), expected: expected,
          bound: slack * self.bound(type, precision, columns: h, ofPrompts: true), floor: 1e-3,
          label + ", a prompt")
        let ofPrompt = try unit(x[last], promptRows: 1, precision: precision, on: backend)
        let mixed = try unit(x, promptRows: rows / 2, precision: precision, on: backend)
        let decoding = rows - rows / 2
        if ofPrompt.array != prompt[last].array
          || mixed[0..<decoding].array != a[0..<decoding].array
          || mixed[decoding..<rows].array != prompt[decoding..<rows].array
        {
          findings[index].add(error: .infinity, bound: bound, label + ", a prompt in company")
        }
      }
    }
    return findings
  }
}
