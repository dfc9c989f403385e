import MGLUModel

/// A unit whose offsets pass 2^31 elements: what a 32-bit index anywhere would break.
package struct LargeUnit {
  private let rows: Int
  private let weight: StoredMatrix
  private let masks: Tensor
  private let x: Tensor

  private static let columns = 1 << 15

  /// Bytes that it takes: weights, scales, and mask bits twice.
  package static var byteCount: Double { Double(rows) * Double(columns) * 1.35 }
  /// Just as many as bring the last rows beyond 2^31.
  private static let rows = (1 << 31) / columns + 70

  /// Fills weights, scales and masks with bytes that repeat at no power of two.
  package init(on backend: CPUBackend) {
    let (rows, columns) = (Self.rows, Self.columns)
    self.rows = rows
    let (_, tensors) = backend.allocate { layout in
      (
        layout.tensor([rows, columns], .int8),
        layout.tensor(WeightType.scalesShape(rows: rows, columns: columns), .float16),
        layout.tensor([1, rows, columns / 8], .uint8), layout.tensor([1, columns])
      )
    }
    var random = Philox(seed: 5, purpose: .synthetic)
    let tile = (0..<1_000_003).map { _ in UInt8.random(in: 0...255, using: &random) }
    // Scales of 2^-8 to 2^-7, of either mantissa byte.
    let scaleTile = (0..<500_009).flatMap { _ in
      [UInt8.random(in: 0...255, using: &random), UInt8.random(in: 0x1c...0x1f, using: &random)]
    }
    tensors.0.bytes.fill(repeating: tile)
    tensors.1.bytes.fill(repeating: scaleTile)
    tensors.2.bytes.fill(repeating: tile)
    tensors.3.assign((0..<columns).map { _ in random.nextNormal() })
    weight = StoredMatrix(weights: tensors.0, scales: tensors.1)
    (masks, x) = (tensors.2, tensors.3)
  }

  /// The last 70 rows against the reference over just these.
  package func finding(instructionSet: String, threads: Int?) throws -> Finding {
    let backend = try CPUBackend(threads: threads, instructionSet: instructionSet)
    let unit = FlashMGLU(weight, masks: masks, activation: .silu, on: backend)
    let a = try unit(x, precision: .exact, on: backend)
    let last = rows - 70..<rows
    let (_, (wide, logits)) = backend.allocate { layout in
      (layout.tensor([70, Self.columns]), layout.tensor([70, Self.columns]))
    }
    backend.dequantise(
      StoredMatrix(weights: weight.weights[last], scales: weight.scales?[last]), into: wide)
    MaskBits.unpack(masks.reshaped([rows, Self.columns / 8])[last], into: logits)
    let reference = ReferenceUnit(
      kind: .masked(.init(count: 1)), activation: .silu, weight: ReferenceMatrix(wide),
      masks: [ReferenceUnit.mask(ofLogits: ReferenceMatrix(logits))])
    var finding = Finding("FlashMGLU past 2^31", on: instructionSet, weights: .int8)
    finding.add(
      ReferenceMatrix(a).columns(last), expected: reference(ReferenceMatrix(x)), bound: 1e-5,
      "\(rows) x \(Self.columns)")
    return finding
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Fills the buffer with `tile` again and again.
  fileprivate func fill(repeating tile: [UInt8]) {
    for start in stride(from: 0, to: count, by: tile.count) {
      let end = Swift.min(start + tile.count, count)
      UnsafeMutableRawBufferPointer(rebasing: self[start..<end])
        .copyBytes(from: tile[0..<end - start])
    }
  }
}
