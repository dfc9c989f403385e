/// Masks as they are stored: one bit per element, `[n_m, d, ceil(h / 8)]`, bit k % 8 of byte k / 8
/// (least significant first) for column k.
public enum MaskBits {
  /// The shape of the bits of masks `[n_m, d, h]`.
  public static func shape(of masks: [Int]) -> [Int] {
    Array(masks.dropLast()) + [((masks.last ?? 0) + 7) / 8]
  }

  /// The bits of mask logits `[n_m, d, h]` on the host: 1 where a logit is positive.
  public static func pack(_ logits: Tensor, on backend: CPUBackend) -> Tensor {
    let bits = backend.allocate { $0.tensor(shape(of: logits.shape), .uint8) }
    logits.withFloats { source in
      let (columns, stride) = (logits.columns, bits.columns)
      let target = bits.bytes.assumingMemoryBound(to: UInt8.self)
      for row in 0..<logits.rows {
        for column in 0..<columns where source[row * columns + column] > 0 {
          target[row * stride + column / 8] |= 1 << UInt8(column % 8)
        }
      }
    }
    return bits
  }

  /// Writes logits `[n_m, d, h]` of 1 for a set bit and -1 for a clear one.
  public static func unpack(_ bits: Tensor, into logits: Tensor) {
    precondition(bits.shape == shape(of: logits.shape), "bits \(bits.shape) for \(logits.shape)")
    let source = bits.bytes
    logits.withMutableFloats { target in
      let (columns, stride) = (logits.columns, bits.columns)
      for row in 0..<logits.rows {
        for column in 0..<columns {
          let byte = source[row * stride + column / 8]
          target[row * columns + column] = byte >> UInt8(column % 8) & 1 == 1 ? 1 : -1
        }
      }
    }
  }
}
