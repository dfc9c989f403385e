/// The pattern of Llama 3 and, with single digits, of Qwen 2 by hand.
extension WordScanner {
  /// The pattern with numbers of up to three digits, as it is spelled in a tokenizer.json.
  static let llama3Pattern = pattern(number: #"\p{N}{1,3}"#)
  /// The pattern with single digits.
  static let qwen2Pattern = pattern(number: #"\p{N}"#)

  private static func pattern(number: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + number
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  mutating func skipLlama3Word(digits: Int) {
    if bytes[position] == UInt8(ascii: "'"), let length = contractionOfAnyCase() {
      position += length
      return
    }
    let (kind, length) = scalar(at: position)
    switch kind {
    case .letter: return skip(.letter)
    case .number: return skip(.number, limit: digits)
    case .other, .space: break
    }
    let next = self.kind(at: position + length)
    if next == .letter, !isNewline(position) {
      position += length
      return skip(.letter)
    }
    if kind == .other || bytes[position] == UInt8(ascii: " ") && next == .other {
      position += length
      skip(.other)
      while position < end, isNewline(position) { position += 1 }
      return
    }
    // Spaces up to their last line break are a word.
    var (index, last) = (position, position)
    while index < end {
      let (kind, length) = scalar(at: index)
      guard kind == .space else { break }
      index += length
      if isNewline(index - length) { last = index }
    }
    if last > position { position = last } else { skipSpaces() }
  }

  private func isNewline(_ index: Int) -> Bool {
    bytes[index] == UInt8(ascii: "\n") || bytes[index] == UInt8(ascii: "\r")
  }

  /// The length of the contraction that begins here, in letters of either case. U+017F, the long s,
  /// is an s of another case.
  private func contractionOfAnyCase() -> Int? {
    let rest = bytes[(position + 1)..<end].prefix(2)
    if rest.elementsEqual([0xc5, 0xbf]) { return 3 }
    let lower = rest.map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
    guard let first = lower.first else { return nil }
    switch first {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    default: return ["re", "ve", "ll"].contains { lower.elementsEqual($0.utf8) } ? 3 : nil
    }
  }
}
