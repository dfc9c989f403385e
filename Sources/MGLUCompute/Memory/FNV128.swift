/// The 128-bit FNV-1a hash of Fowler, Noll and Vo: a key for things that no one forges.
///
/// Two of n different inputs share a hash with a chance of about n^2 / 2^129.
package struct FNV128: Sendable {
  /// The hash of the bytes seen so far.
  package private(set) var value: UInt128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d

  /// The hash of no bytes yet.
  package init() {}

  /// Takes more bytes in.
  package mutating func update(_ bytes: some Sequence<UInt8>) {
    // 2^88 + 2^8 + 0x3b.
    let prime: UInt128 = 0x0000_0000_0100_0000_0000_0000_0000_013b
    for byte in bytes { value = (value ^ UInt128(byte)) &* prime }
  }

  /// Takes a text in with its length, so that no two lists of texts are the same bytes.
  package mutating func update(field text: String) {
    let count = UInt64(text.utf8.count)
    update((0..<8).map { UInt8(truncatingIfNeeded: count >> (8 * $0)) })
    update(text.utf8)
  }

  /// The hash as 32 hexadecimal digits.
  package var hexadecimal: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 32 - digits.count) + digits
  }
}
