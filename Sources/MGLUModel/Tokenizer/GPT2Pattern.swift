/// GPT-2's pattern by hand.
extension WordScanner {
  /// The pattern as ByteLevel has it.
  static let gpt2Pattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  mutating func skipGPT2Word() {
    if bytes[position] == UInt8(ascii: "'"), let length = contraction() {
      position += length
      return
    }
    let (kind, length) = scalar(at: position)
    if kind != .space { return skip(kind) }
    if bytes[position] == UInt8(ascii: " "), let following = self.kind(at: position + length),
      following != .space
    {
      position += length
      return skip(following)
    }
    skipSpaces()
  }

  /// One digit, or a word that ends before the next digit.
  mutating func skipGPT2WordOrDigit() {
    if position == end { (end, endsBeforeDigit) = (range.upperBound, false) }
    if kind(at: position) == .number { return skip(.number, limit: 1) }
    if !endsBeforeDigit {
      // Found once for all words until there.
      var index = position
      while let kind = kind(at: index), kind != .number { index += scalar(at: index).length }
      (end, endsBeforeDigit) = (index, true)
    }
    skipGPT2Word()
  }

  /// The length of the contraction that begins here.
  private func contraction() -> Int? {
    let rest = bytes[(position + 1)..<end].prefix(2)
    guard let first = rest.first else { return nil }
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    default: return ["re", "ve", "ll"].contains { rest.elementsEqual($0.utf8) } ? 3 : nil
    }
  }
}
