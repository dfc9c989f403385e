import MGLUModel

/// Every kernel of an instruction set against the float64 reference, over shapes at and around the
/// sizes of vectors, groups and words.
package struct Verification {
  /// The instruction set.
  package let instructionSet: String
  private let backend: CPUBackend

  /// Prepares to verify `instructionSet` on `threads` threads.
  package init(instructionSet: String, threads: Int?) throws(BackendError) {
    self.instructionSet = instructionSet
    backend = try CPUBackend(threads: threads, instructionSet: instructionSet)
  }

  /// The units of the family, at the mask counts that kernels treat differently.
  package static let units: [FeedForwardUnitKind] =
    [.linear, .sharedGated, .gated]
    + [1, 2, 3, 4, 8, 11, 16].map { .masked(.init(count: $0)) }
    + [
      .masked(.init(count: 2, ablation: .noGateMask)),
      .masked(.init(count: 5, ablation: .noValueMask)), .masked(.init(count: 4, routerTopK: 2)),
    ]
  /// d x h: below, at and beyond groups of 32, words of 64, and 512-element strides.
  package static let shapes = [(1, 1), (17, 33), (16, 96), (37, 577), (5, 1024)]
  /// Rows of x, of which kernels take up to four together.
  package static let rows = 7

  /// Exact inputs: float32 sums in another order than float64, 1e-5 at most. Reduced: BF16 keeps 8
  /// bits, 2^-9 relative per product at most, which a gate's two factors double; 8-bit inputs keep
  /// 1/254 of a group's largest, some 1e-2 relative to their mean.
  package static func bound(_ type: WeightType, _ precision: ActivationPrecision) -> Double {
    switch (type, precision) {
    case (.bfloat16, .reduced): 1e-2
    case (.int8, .reduced): 3e-2
    default: 1e-5
    }
  }

  /// Units for inference over weights of `type`.
  package func flashUnits(_ type: WeightType) throws(BackendError) -> [Finding] {
    try ActivationPrecision.allCases.map { precision throws(BackendError) in
      var finding = Finding(
        "FlashMGLU, GLU, LU", on: instructionSet, weights: type, activations: precision)
      for kind in Self.units {
        for (d, h) in Self.shapes {
          let synthetic = SyntheticUnit(
            .init(hiddenSize: h, intermediateSize: d, unit: kind, activation: .silu),
            rows: Self.rows)
          let (unit, reference) = synthetic.inferenceUnit(as: type, on: backend)
          let (_, x) = backend.allocate { $0.tensor([Self.rows, h]) }
          x.assign(synthetic.input.floats)
          // One row, or one column, has no mean to average errors in; a row of zeros no scale.
          let slack = d * h < 64 && precision == .reduced ? 10.0 : 1
          finding.add(
            ReferenceMatrix(try unit(x, precision: precision, on: backend)),
            expected: reference(synthetic.input), bound: slack * Self.bound(type, precision),
            floor: 1e-3, "\(kind.label), \(d) x \(h)")
        }
      }
      return finding
    }
  }

  /// The layers of training: forward and every gradient.
  package func trainingUnits() -> [Finding] {
    var (forward, backward) = (
      Finding("layers, forward", on: instructionSet),
      Finding("layers, backward", on: instructionSet)
    )
    for kind in Self.units {
      for (d, h) in Self.shapes {
        let synthetic = SyntheticUnit(
          .init(hiddenSize: h, intermediateSize: d, unit: kind, activation: .gelu),
          rows: Self.rows)
        let (found, expected) = (synthetic.results(on: backend), synthetic.expected)
        let name = "\(kind.label), \(d) x \(h)"
        // Sums that cancel are measured against what they sum: values of about one.
        forward.add(found.output, expected: expected.output, bound: 1e-5, floor: 1, name)
        var pairs = [(found.input, expected.input), (found.weight, expected.weight)]
        if case .masked = kind { pairs.append((found.maskLogits, expected.maskLogits)) }
        if let router = found.router, let other = expected.router { pairs.append((router, other)) }
        for (found, expected) in pairs {
          backward.add(found, expected: expected, bound: 1e-5, floor: 1, name)
        }
      }
    }
    return [forward, backward]
  }

  /// Whole decoders: norm, rotary positions, attention and head; as trained, and as they write,
  /// through the key-value cache.
  package func decoders() throws -> [Finding] {
    var whole = Finding("decoder, whole text", on: instructionSet)
    var cached = Finding("decoder, cached", on: instructionSet)
    for kind in Self.units {
      let decoder = try Decoder(
        DecoderConfiguration(
          vocabularySize: 41, layers: 2, attention: .init(heads: 4, kvHeads: 2, headSize: 6),
          feedForward: .init(hiddenSize: 23, intermediateSize: 31, unit: kind),
          contextLength: 67), on: backend)
      decoder.initialise(seed: 3)
      let tokens = (0..<67).map { Int32($0 * 17 % 41) }
      let expected = ReferenceDecoder(decoder).logits(tokens, length: 67)
      whole.add(
        ReferenceMatrix(
          rows: 67, columns: 41, elements: decoder.logits(tokens).map(Double.init)),
        expected: expected, bound: 1e-5, kind.label)
      let session = try DecodingSession(InferenceDecoder(decoder))
      _ = try session.append(tokens.prefix(50))
      for position in 50..<67 {
        cached.add(
          ReferenceMatrix(try session.append(tokens[position...position])),
          expected: expected.rows(position..<position + 1), bound: 1e-5,
          "\(kind.label), position \(position)")
      }
    }
    return [whole, cached]
  }
}

extension FeedForwardUnitKind {
  /// A name for a line of text.
  fileprivate var label: String {
    guard case .masked(let masks) = self else { return "\(self)" }
    let parts = [
      "\(masks.count) masks", masks.ablation.map(\.rawValue),
      masks.routerTopK.map { "top \($0)" },
    ]
    return parts.compactMap(\.self).joined(separator: ", ")
  }
}
