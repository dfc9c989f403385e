/// A position in UTF-8 that moves from word to word.
struct WordScanner {
  enum Kind { case letter, number, space, other }

  let bytes: UnsafeBufferPointer<UInt8>
  var position: Int
  /// The end of the bytes that the pattern sees.
  var end: Int
  /// Whether `end` lies before a digit that the pattern must not see.
  var endsBeforeDigit = false

  let range: Range<Int>

  init(bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>) {
    self.bytes = bytes
    self.range = range
    position = range.lowerBound
    end = range.upperBound
  }

  /// Calls `body` with the words that `skip` moves over, in order and without gaps. Linear.
  @inline(__always)
  mutating func forEachWord(_ skip: (inout WordScanner) -> Void, _ body: (Range<Int>) -> Void) {
    while position < range.upperBound {
      let start = position
      skip(&self)
      body(start..<position)
    }
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
  @inline(__always)
  func scalar(at index: Int) -> (kind: Kind, length: Int) {
    let byte = bytes[index]
    if byte < 0x80 { return (Self.ascii[Int(byte)], 1) }
    let (value, length) = bytes.scalar(at: index)
    return (Self.classify(value), length)
  }

  private static let ascii: [Kind] = (0..<128).map(classify)

  private static func classify(_ scalar: UInt32) -> Kind {
    let kind: ScalarKind.Set = 1 << UInt64(ScalarKind.of(scalar))
    if kind & ScalarKind.letters != 0 { return .letter }
    if kind & ScalarKind.numbers != 0 { return .number }
    if kind & ScalarKind.separators != 0 || (0x9...0xd).contains(scalar) || scalar == 0x85 {
      return .space
    }
    return .other
  }
}
