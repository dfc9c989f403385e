/// Finds added tokens in text, the longest where several begin.
struct AddedTokenMatcher: Sendable {
  private let tokens: [(bytes: [UInt8], id: Int32)]
  private let isFirstByte: [Bool]

  init(_ added: [Tokenizer.AddedToken]) {
    tokens = added.map { (Array($0.content.utf8), $0.id) }.filter { !$0.bytes.isEmpty }
      .sorted { $0.bytes.count > $1.bytes.count }
    var first = [Bool](repeating: false, count: 256)
    for token in tokens { first[Int(token.bytes[0])] = true }
    isFirstByte = first
  }

  /// A stretch of text, or an added token.
  enum Part {
    case plain(Range<Int>)
    case token(Int32)
  }

  /// Calls `body` with the parts of `range`, in order.
  func forEachPart(
    of bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>, _ body: (Part) -> Void
  ) {
    var start = range.lowerBound
    var index = tokens.isEmpty ? range.upperBound : start
    while index < range.upperBound {
      guard isFirstByte[Int(bytes[index])],
        let token = tokens.first(where: {
          bytes[index..<range.upperBound].starts(with: $0.bytes)
        })
      else {
        index += 1
        continue
      }
      if start < index { body(.plain(start..<index)) }
      body(.token(token.id))
      index += token.bytes.count
      start = index
    }
    if start < range.upperBound { body(.plain(start..<range.upperBound)) }
  }
}
