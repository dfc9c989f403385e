/// The values of quantized blocks, as ggml defines them.
///
///     Q4_1, Q5_1   d q + m            q of 4 or 5 bits; a block has 32 elements
///     Q4_K, Q5_K   d s q - e m        s and m of 6 bits for each 32 of 256 elements
///     Q6_K         d s (q - 32)       q of 6 bits, s of 8 bits for each 16 of 256 elements
///     Q4_0, Q5_0   d (q - 8), d (q - 16)
///     Q8_0         d q                q of 8 bits
package enum GGUFBlocks {
  /// Writes the float32 values of `blocks` of `type`, in the order of the elements.
  package static func dequantize(
    _ blocks: UnsafeRawBufferPointer, of type: GGUFTensorType,
    into floats: UnsafeMutablePointer<Float>
  ) {
    let count = blocks.count / type.blockByteCount
    for index in 0..<count {
      let block = UnsafeRawBufferPointer(
        rebasing: blocks[index * type.blockByteCount..<(index + 1) * type.blockByteCount])
      let values = floats + index * type.blockSize
      switch type {
      case .f32:
        values[0] = Float(bitPattern: block.loadUnaligned(as: UInt32.self))
      case .f16: values[0] = block.half(at: 0)
      case .bf16:
        values[0] = Float(bitPattern: UInt32(block.loadUnaligned(as: UInt16.self)) << 16)
      case .q40, .q50, .q80:
        let scale = block.half(at: 0)
        withUnsafeTemporaryAllocation(of: Int8.self, capacity: 32) { integers in
          integers.baseAddress.map { Self.integers(of: block, type, into: $0) }
          for k in 0..<32 { values[k] = Float(integers[k]) * scale }
        }
      case .q41: dequantize4(block, into: values)
      case .q51: dequantize5(block, into: values)
      case .q4K: dequantizeK(block, highBits: nil, low: 16, into: values)
      case .q5K: dequantizeK(block, highBits: 16, low: 48, into: values)
      case .q6K: dequantize6K(block, into: values)
      }
    }
  }

  /// Writes the 32 integers of a block of Q4_0, Q5_0 or Q8_0, whose scale comes first.
  package static func integers(
    of block: UnsafeRawBufferPointer, _ type: GGUFTensorType,
    into target: UnsafeMutablePointer<Int8>
  ) {
    switch type {
    case .q80: for k in 0..<32 { target[k] = Int8(bitPattern: block[2 + k]) }
    case .q50:
      let high = block.loadUnaligned(fromByteOffset: 2, as: UInt32.self)
      for k in 0..<16 {
        let pair = block[6 + k]
        target[k] = Int8(pair & 15 | UInt8(high >> UInt32(k) & 1) << 4) - 16
        target[k + 16] = Int8(pair >> 4 | UInt8(high >> UInt32(k + 16) & 1) << 4) - 16
      }
    default:
      for k in 0..<16 {
        let pair = block[2 + k]
        target[k] = Int8(pair & 15) - 8
        target[k + 16] = Int8(pair >> 4) - 8
      }
    }
  }

  private static func dequantize4(
    _ block: UnsafeRawBufferPointer, into values: UnsafeMutablePointer<Float>
  ) {
    let (scale, minimum) = (block.half(at: 0), block.half(at: 2))
    for k in 0..<16 {
      let pair = block[4 + k]
      values[k] = Float(pair & 15) * scale + minimum
      values[k + 16] = Float(pair >> 4) * scale + minimum
    }
  }

  private static func dequantize5(
    _ block: UnsafeRawBufferPointer, into values: UnsafeMutablePointer<Float>
  ) {
    let (scale, minimum) = (block.half(at: 0), block.half(at: 2))
    let high = block.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
    for k in 0..<16 {
      let pair = block[8 + k]
      let low = pair & 15 | UInt8(high >> UInt32(k) & 1) << 4
      values[k] = Float(low) * scale + minimum
      values[k + 16] = Float(pair >> 4 | UInt8(high >> UInt32(k + 16) & 1) << 4) * scale + minimum
    }
  }

  /// Eight groups of 32: two groups share the bytes at `low` on, one in their lower halves and one in
  /// their upper halves; a fifth bit of each element of group g is bit g of the bytes at `highBits`.
  private static func dequantizeK(
    _ block: UnsafeRawBufferPointer, highBits: Int?, low: Int,
    into values: UnsafeMutablePointer<Float>
  ) {
    let (scale, minimum) = (block.half(at: 0), block.half(at: 2))
    for group in 0..<8 {
      let (s, m) = scales(block, of: group)
      let (d, e) = (scale * Float(s), minimum * Float(m))
      for k in 0..<32 {
        let pair = block[low + group / 2 * 32 + k]
        var q = group % 2 == 0 ? pair & 15 : pair >> 4
        if let highBits { q |= (block[highBits + k] >> UInt8(group) & 1) << 4 }
        values[group * 32 + k] = d * Float(q) - e
      }
    }
  }

  /// Scale and minimum of a group of Q4_K or Q5_K, 6 bits each: those of the first four groups lie in
  /// bytes of their own, whose upper two bits belong to the other four.
  private static func scales(
    _ block: UnsafeRawBufferPointer, of group: Int
  ) -> (scale: UInt8, minimum: UInt8) {
    if group < 4 { return (block[4 + group] & 63, block[8 + group] & 63) }
    let pair = block[8 + group]
    return (
      pair & 15 | block[group] >> 2 & 48, pair >> 4 | block[4 + group] >> 2 & 48
    )
  }

  private static func dequantize6K(
    _ block: UnsafeRawBufferPointer, into values: UnsafeMutablePointer<Float>
  ) {
    let scale = block.half(at: 208)
    for half in 0..<2 {
      for part in 0..<4 {
        for k in 0..<32 {
          let pair = block[half * 64 + part % 2 * 32 + k]
          let high = block[128 + half * 32 + k] >> UInt8(2 * part) & 3
          let q = (part < 2 ? pair & 15 : pair >> 4) | high << 4
          let s = Int8(bitPattern: block[192 + half * 8 + part * 2 + k / 16])
          values[half * 128 + part * 32 + k] = scale * Float(s) * Float(Int8(q) - 32)
        }
      }
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The IEEE half at `offset`.
  fileprivate func half(at offset: Int) -> Float {
    Float(halfBits: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
  }
}
