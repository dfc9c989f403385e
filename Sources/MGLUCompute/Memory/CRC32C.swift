/// CRC-32C (Castagnoli), eight bytes at a time by tables.
public struct CRC32C: Sendable {
  private var state: UInt32 = 0xffff_ffff

  /// The checksum of no bytes yet.
  public init() {}

  /// The checksum of the bytes seen so far.
  public var value: UInt32 { ~state }

  /// Takes more bytes in.
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var crc = state
    Self.tables.withUnsafeBufferPointer { tables in
      var index = 0
      while index + 8 <= bytes.count {
        let word =
          UInt64(
            littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
          ^ UInt64(crc)
        crc = 0
        for byte in 0..<8 {
          crc ^= tables[(7 - byte) * 256 + Int(word >> (8 * UInt64(byte)) & 0xff)]
        }
        index += 8
      }
      while index < bytes.count {
        crc = crc >> 8 ^ tables[Int((crc ^ UInt32(bytes[index])) & 0xff)]
        index += 1
      }
    }
    state = crc
  }

  /// The checksum of a file's content.
  public static func checksum(of file: MappedFile) -> UInt32 {
    var crc = CRC32C()
    crc.update(file.bytes)
    return crc.value
  }

  /// The checksum of `bytes`.
  public static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var crc = CRC32C()
    bytes.withUnsafeBytes { crc.update($0) }
    return crc.value
  }

  /// Table k advances a byte's remainder by k further bytes.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var remainder = UInt32(byte)
      for _ in 0..<8 {
        remainder = remainder & 1 == 1 ? remainder >> 1 ^ 0x82f6_3b78 : remainder >> 1
      }
      tables[byte] = remainder
    }
    for index in 256..<8 * 256 {
      let previous = tables[index - 256]
      tables[index] = previous >> 8 ^ tables[Int(previous & 0xff)]
    }
    return tables
  }()
}
