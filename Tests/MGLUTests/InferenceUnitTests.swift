import MGLU
import MGLUReference
import Testing

/// Units for inference against the float64 reference over the same, widened weights, on every
/// instruction set: shapes, units and bounds are those of `mglu verify`.
@Suite struct InferenceUnitTests {
  @Test(arguments: CPUBackend.instructionSets, WeightType.allCases)
  func unitsAgreeWithTheReference(instructionSet: String, type: WeightType) throws {
    let verification = try Verification(instructionSet: instructionSet, threads: 2)
    for finding in try verification.inferenceUnits(type) {
      #expect(
        finding.isWithin,
        "\(finding.activations): \(finding.worstError) of \(finding.bound) at \(finding.worstCase)")
      #expect(finding.cases > 0)
    }
  }

  /// Rows are computed a few at a time where there are enough of them: each is bit for bit what it
  /// is alone.
  @Test(arguments: CPUBackend.instructionSets, WeightType.allCases)
  func aRowDoesNotDependOnItsBatch(instructionSet: String, type: WeightType) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let rows = Verification.rows
    for kind in Verification.units {
      for (d, h) in Verification.shapes {
        let synthetic = SyntheticUnit(
          .init(hiddenSize: h, intermediateSize: d, unit: kind, activation: .silu), rows: rows)
        let (unit, _) = synthetic.inferenceUnit(as: type, on: backend)
        let x = backend.allocate { $0.tensor([rows, h]) }
        x.assign(synthetic.input.floats)
        for precision in InputPrecision.allCases {
          let together = try unit(x, precision: precision, on: backend)
          let prompt = try unit(x, promptRows: rows, precision: precision, on: backend)
          for count in 1..<rows {
            let some = try unit(x[rows - count..<rows], precision: precision, on: backend)
            #expect(
              some.array == together[rows - count..<rows].array,
              "\(kind) [\(d), \(h)] \(precision), the last \(count)")
            let ofPrompt = try unit(
              x[rows - count..<rows], promptRows: count, precision: precision, on: backend)
            #expect(
              ofPrompt.array == prompt[rows - count..<rows].array,
              "\(kind) [\(d), \(h)] \(precision), the last \(count) of a prompt")
            let mixed = try unit(x, promptRows: count, precision: precision, on: backend)
            #expect(
              mixed[0..<rows - count].array == together[0..<rows - count].array
                && mixed[rows - count..<rows].array == ofPrompt.array,
              "\(kind) [\(d), \(h)] \(precision), a prompt of \(count) beside others")
          }
        }
      }
    }
  }

  /// A finding reports the worst case, and one that is beyond its bound is a miss.
  @Test func findingsCannotHideAMiss() throws {
    let synthetic = SyntheticUnit(
      .init(
        hiddenSize: 33, intermediateSize: 17, unit: .mglu(.init(count: 2)), activation: .silu),
      rows: 3)
    let backend = try CPUBackend(threads: 1)
    let (unit, reference) = synthetic.inferenceUnit(as: .int8, on: backend)
    let x = backend.allocate { $0.tensor([3, 33]) }
    x.assign(synthetic.input.floats)
    let a = ReferenceMatrix(try unit(x, on: backend))
    // One flipped weight, one swapped mask: both are far beyond the bound.
    var changed = reference
    changed.weight[5, 7] = -changed.weight[5, 7]
    #expect(relativeError(a, changed(synthetic.input)) > 1e-3)
    var swapped = reference
    swapped.masks[0][3, 3] = 1 - swapped.masks[0][3, 3]
    #expect(relativeError(a, swapped(synthetic.input)) > 1e-3)
    #expect(relativeError(a, reference(synthetic.input)) < 1e-5)
  }
}
