/// A position in UTF-8 that moves from word to word.
struct WordScanner {
  enum Kind { case letter, number, space, other }

  let bytes: UnsafeBufferPointer<UInt8>
  var position = 0
  /// The end of the bytes that the pattern sees.
  var end: Int
  /// Whether `end` lies before a digit that the pattern must not see.
  var endsBeforeDigit = false

  init(bytes: UnsafeBufferPointer<UInt8>) {
    self.bytes = bytes
    end = bytes.count
  }

  /// The class of the scalar at `index`, or `nil` at the end.
  func kind(at index: Int) -> Kind? { index < end ? scalar(at: index).kind : nil }

  /// Moves over scalars of `kind`, at most `limit` of them.
  mutating func skip(_ kind: Kind, limit: Int = .max) {
    var count = 0
    while position < end, count < limit {
      let (found, length) = scalar(at: position)
      if found != kind { return }
      position += length
      count += 1
    }
  }

  /// A run of spaces leaves its last one to the word that follows, unless it is its only one.
  mutating func skipSpaces() {
    let start = position
    var last = position
    while position < end {
      let (kind, length) = scalar(at: position)
      if kind != .space {
        if last > start { position = last }
        return
      }
      last = position
      position += length
    }
  }

  /// The class and the length in bytes of the scalar at `index`.
  func scalar(at index: Int) -> (kind: Kind, length: Int) {
    let byte = bytes[index]
    if byte < 0x80 { return (Self.ascii[Int(byte)], 1) }
    let length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    var value = UInt32(byte) & (0xff >> UInt32(length + 1))
    for offset in 1..<length { value = value << 6 | UInt32(bytes[index + offset] & 0x3f) }
    return (Unicode.Scalar(value).map(Self.classify) ?? .other, length)
  }

  private static let ascii: [Kind] = (0..<128).map { classify(Unicode.Scalar(UInt8($0))) }

  private static func classify(_ scalar: Unicode.Scalar) -> Kind {
    if scalar.properties.isWhitespace { return .space }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return .letter
    case .decimalNumber, .letterNumber, .otherNumber: return .number
    default: return .other
    }
  }
}
