/// Makes choices of bytes, so that what a fuzzer changes is a choice; after their end each is the first.
struct ByteChoices {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Bytes that were not used.
  var rest: ArraySlice<UInt8> { bytes[min(position, bytes.count)...] }

  /// A number below `count`, which is at most 256.
  mutating func number(below count: Int = 256) -> Int {
    defer { position += 1 }
    return position < bytes.count ? Int(bytes[position]) % count : 0
  }

  /// Once in `count`; never after the end.
  mutating func isOne(of count: Int) -> Bool { number(below: count) == 1 }

  /// One of some values.
  mutating func pick<T>(_ values: [T]) -> T { values[number(below: values.count)] }

  /// Up to `count` results of `body`.
  mutating func list<T>(upTo count: Int, _ body: (inout ByteChoices) -> T) -> [T] {
    (0..<number(below: count + 1)).map { _ in body(&self) }
  }

  /// A text of characters that are said to cause trouble.
  mutating func text() -> String {
    pick([
      "", "a", "ab", "user", "<|endoftext|>", "é", "e\u{301}", " ", "\n", "\u{0}", "\u{feff}", "😀",
      "ǆ ß İ", "{{ x }}", "</s>", "\"'\\", "0", "-1", "1e5", "\r\n", "\u{2028}", "\u{1e0a}\u{323}",
      String(repeating: "ab ", count: 30),
    ])
  }
}

extension String {
  /// The text as JSON.
  var json: String {
    var result = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case "\u{0}"..<" ":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
