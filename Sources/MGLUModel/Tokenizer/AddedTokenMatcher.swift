/// Finds added tokens in text, the longest where several begin.
struct AddedTokenMatcher: Sendable {
  private let tokens: [Tokenizer.AddedToken]
  /// Indices of `tokens` by what is looked for.
  private var contents: Vocabulary
  /// The lengths of contents by their first byte, the longest first.
  private var lengths = [[Int]](repeating: [], count: 256)

  static let none = AddedTokenMatcher([])

  /// - Parameter normalize: What becomes of contents before they are looked for.
  init(_ added: [Tokenizer.AddedToken], normalize: ([UInt8]) -> [UInt8] = { $0 }) {
    tokens = added
    contents = Vocabulary(capacity: added.count)
    for (index, token) in added.enumerated() {
      let content = normalize(Array(token.content.utf8))
      guard let first = content.first, contents.id(of: content) == nil,
        contents.insert(content, id: Int32(index))
      else { continue }
      if !lengths[Int(first)].contains(content.count) { lengths[Int(first)].append(content.count) }
    }
    for byte in lengths.indices { lengths[byte].sort(by: >) }
  }

  /// A stretch of text, or an added token.
  enum Part {
    case plain(Range<Int>)
    case token(Int32)
  }

  /// Calls `body` with the parts of valid UTF-8, in order.
  func forEachPart(of text: UnsafeBufferPointer<UInt8>, _ body: (Part) -> Void) {
    var start = 0
    var index = tokens.isEmpty ? text.count : 0
    while index < text.count {
      guard let (token, count) = match(at: index, of: text) else {
        index += 1
        continue
      }
      var (lower, upper) = (index, index + count)
      index = upper
      if token.isSingleWord, isWord(before: lower, text) || isWord(at: upper, text) { continue }
      if token.stripsLeft {
        while lower > start {
          let before = text.scalarStart(before: lower)
          guard before >= start, Self.space.contains(text.scalar(at: before).value) else { break }
          lower = before
        }
      }
      if token.stripsRight {
        while upper < text.count, case let (value, length) = text.scalar(at: upper),
          Self.space.contains(value)
        {
          upper += length
        }
      }
      if start < lower { body(.plain(start..<lower)) }
      body(.token(token.id))
      (start, index) = (upper, upper)
    }
    if start < text.count { body(.plain(start..<text.count)) }
  }

  private func match(
    at index: Int, of text: UnsafeBufferPointer<UInt8>
  ) -> (token: Tokenizer.AddedToken, count: Int)? {
    for length in lengths[Int(text[index])] where length <= text.count - index {
      let slice = UnsafeBufferPointer(rebasing: text[index..<index + length])
      if let found = contents.id(of: slice) { return (tokens[Int(found)], length) }
    }
    return nil
  }

  private static let space = ScalarSet(UnicodeProperty.space)
  private static let word = ScalarSet(
    .union([UnicodeProperty.word, .ranges([0x200c...0x200d])]))

  private func isWord(before index: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
    index > 0 && Self.word.contains(text.scalar(at: text.scalarStart(before: index)).value)
  }

  private func isWord(at index: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
    index < text.count && Self.word.contains(text.scalar(at: index).value)
  }
}
