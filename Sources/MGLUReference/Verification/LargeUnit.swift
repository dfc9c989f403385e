import MGLUModel

/// A unit whose offsets pass 2^31 elements: what a 32-bit index anywhere would break.
package struct LargeUnit {
  private let rows: Int
  private let weight: StoredMatrix
  private let masks: Tensor
  private let x: Tensor

  private static let columns = 1 << 15

  /// Bytes of the host that it takes: weights, scales, and mask bits twice.
  package static var byteCount: Double { Double(rows) * Double(columns) * 1.35 }
  /// Just as many as bring the last rows beyond 2^31.
  private static let rows = (1 << 31) / columns + 70

  /// Fills weights, scales and masks with bytes that repeat at no power of two.
  package init(on host: CPUBackend) {
    let (rows, columns) = (Self.rows, Self.columns)
    self.rows = rows
    let tensors = host.allocate { layout in
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

  /// Bytes that `backend` needs beside those of the host: its own copy, where it takes no INT8.
  package static func byteCount(on backend: any InferenceBackend) -> Double {
    type(on: backend) == .int8 ? 0 : Double(rows) * Double(columns) * 2.2
  }

  /// INT8, or what a backend without it makes of INT8 weights.
  private static func type(on backend: any InferenceBackend) -> WeightType {
    backend.weightTypes.contains(.int8) ? .int8 : .float16
  }

  /// The last 70 rows against the reference over just these, as they are stored there.
  package func finding(on verification: Verification) throws -> Finding {
    let backend = verification.backend
    let (host, type) = (backend.host, Self.type(on: backend))
    let unit = FusedFeedForward(
      .init(
        hiddenSize: Self.columns, intermediateSize: rows, unit: .mglu(.init(count: 1))),
      matrices: [weight], masks: masks, as: type, on: backend)
    let a = try unit(x, precision: .exact, on: backend)
    let last = rows - 70..<rows
    let (wide, logits) = host.allocate { layout in
      (layout.tensor([70, Self.columns]), layout.tensor([70, Self.columns]))
    }
    let stored = StoredMatrix(weights: weight.weights[last], scales: weight.scales?[last])
    host.dequantize(host.converted(stored, to: type), into: wide)
    MaskBits.unpack(masks.reshaped([rows, Self.columns / 8])[last], into: logits)
    let reference = ReferenceUnit(
      kind: .mglu(.init(count: 1)), activation: .silu, weight: ReferenceMatrix(wide),
      masks: [ReferenceUnit.mask(ofLogits: ReferenceMatrix(logits))])
    var finding = Finding("FlashMGLU past 2^31", on: verification.set, weights: type)
    finding.add(
      ReferenceMatrix(a).columns(last), expected: reference(ReferenceMatrix(x)),
      bound: verification.bound(type, .exact, columns: Self.columns),
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
