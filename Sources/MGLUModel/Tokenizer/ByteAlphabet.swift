/// GPT-2's spelling of bytes as printable characters, which tokenizer.json uses for its tokens.
///
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and following, in order.
enum ByteAlphabet {
  /// The UTF-8 of the character of each byte: one unit or two, then zero.
  static let units: [(UInt8, UInt8)] = {
    var next: UInt32 = 256
    return (0..<256).map { byte in
      var value = UInt32(byte)
      if !(33...126).contains(byte) && !(161...172).contains(byte) && !(174...255).contains(byte) {
        value = next
        next += 1
      }
      return value < 0x80
        ? (UInt8(value), 0) : (UInt8(0xc0 | value >> 6), UInt8(0x80 | value & 0x3f))
    }
  }()

  /// The byte of each character below U+0144, or -1.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, units) in units.enumerated() {
      let value = units.0 < 0x80 ? Int(units.0) : Int(units.0 & 0x1f) << 6 | Int(units.1 & 0x3f)
      bytes[value] = Int16(byte)
    }
    return bytes
  }()

  /// The spelling of `bytes`.
  static func spelled(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    for byte in bytes {
      let (first, second) = units[Int(byte)]
      result.append(first)
      if second != 0 { result.append(second) }
    }
    return result
  }

  /// Appends the bytes that `spelling`, valid UTF-8, stands for; where a character is not of the
  /// alphabet, the spelling itself.
  static func append(bytesSpelledBy spelling: UnsafeBufferPointer<UInt8>, to result: inout [UInt8])
  {
    let count = result.count
    var index = 0
    while index < spelling.count {
      let (value, length) = spelling.scalar(at: index)
      guard value < 0x144, bytes[Int(value)] >= 0 else {
        result.removeLast(result.count - count)
        result += spelling
        return
      }
      result.append(UInt8(bytes[Int(value)]))
      index += length
    }
  }
}
