/// GPT-2's spelling of bytes as printable characters, which tokenizer.json uses for its tokens.
///
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and following, in order.
enum ByteAlphabet {
  /// The character of each byte.
  static let scalars: [Unicode.Scalar] = {
    let printable = Set(33...126).union(161...172).union(174...255)
    var next: UInt32 = 256
    return (0..<256).map { byte in
      if printable.contains(byte) { return Unicode.Scalar(UInt8(byte)) }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? " "
    }
  }()

  private static let bytes = Dictionary(
    uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

  /// The spelling of `bytes`.
  static func spell(_ bytes: some Sequence<UInt8>) -> String {
    var spelling = String.UnicodeScalarView()
    spelling.append(contentsOf: bytes.map { scalars[Int($0)] })
    return String(spelling)
  }

  /// The bytes that `spelling` stands for, or `nil` where a character is not of the alphabet.
  static func bytes(spelledBy spelling: String) -> [UInt8]? {
    var result: [UInt8] = []
    for scalar in spelling.unicodeScalars {
      guard let byte = bytes[scalar] else { return nil }
      result.append(byte)
    }
    return result
  }
}
