/// How text is cut into words, within which byte pairs merge.
public enum PreTokenizer: Sendable, Equatable {
  /// GPT-2's pattern:
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  case gpt2

  /// Calls `body` with the range of each word of valid UTF-8, in order and without gaps. Linear.
  func forEachWord(_ text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void) {
    var scanner = GPT2Scanner(text: text)
    while scanner.position < text.count {
      let start = scanner.position
      scanner.skipWord()
      body(start..<scanner.position)
    }
  }
}

/// The pattern by hand: a position in UTF-8 that moves from word to word.
private struct GPT2Scanner {
  enum Kind { case letter, number, space, other }

  let text: UnsafeBufferPointer<UInt8>
  var position = 0

  mutating func skipWord() {
    if text[position] == UInt8(ascii: "'"), let length = contraction() {
      position += length
      return
    }
    let (kind, length) = scalar(at: position)
    if kind != .space { return skip(kind) }
    let next = position + length
    if text[position] == UInt8(ascii: " "), next < text.count {
      let following = scalar(at: next).kind
      if following != .space {
        position = next
        return skip(following)
      }
    }
    skipSpaces()
  }

  /// The length of the contraction that begins here.
  private func contraction() -> Int? {
    let rest = text[(position + 1)...].prefix(2)
    guard let first = rest.first else { return nil }
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    default: return ["re", "ve", "ll"].contains { rest.elementsEqual($0.utf8) } ? 3 : nil
    }
  }

  private mutating func skip(_ kind: Kind) {
    while position < text.count {
      let (found, length) = scalar(at: position)
      if found != kind { return }
      position += length
    }
  }

  /// A run of spaces leaves its last one to the word that follows, unless it is its only one.
  private mutating func skipSpaces() {
    let start = position
    var last = position
    while position < text.count {
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
  private func scalar(at index: Int) -> (kind: Kind, length: Int) {
    let byte = text[index]
    if byte < 0x80 { return (Self.ascii[Int(byte)], 1) }
    let length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
    var value = UInt32(byte) & (0xff >> UInt32(length + 1))
    for offset in 1..<length { value = value << 6 | UInt32(text[index + offset] & 0x3f) }
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
