/// Walks through a JSON document, for the parts of a file that are too large for a general decoder.
struct JSONScanner {
  let bytes: UnsafeBufferPointer<UInt8>
  private(set) var position = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  private static let deepest = 512

  static func malformed(_ position: Int) -> TokenizerError {
    TokenizerError(.malformed, "not valid JSON at byte \(position)")
  }

  private var problem: TokenizerError { Self.malformed(position) }

  /// The first byte of what comes next, after white space; zero at the end.
  @inline(__always)
  mutating func peek() -> UInt8 {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x9, 0xa, 0xd: position += 1
      case let byte: return byte
      }
    }
    return 0
  }

  @inline(__always)
  mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard peek() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  @inline(__always)
  mutating func expect(_ character: Unicode.Scalar) throws(TokenizerError) {
    if !skip(character) { throw problem }
  }

  /// Nothing but white space must be left.
  mutating func expectEnd() throws(TokenizerError) {
    if peek() != 0 || position < bytes.count { throw problem }
  }

  /// Calls `body` with the name of each member of an object; it must read the value.
  mutating func forEachMember(
    _ body: (inout JSONScanner, [UInt8]) throws(TokenizerError) -> Void
  ) throws(TokenizerError) {
    try expect("{")
    if skip("}") { return }
    var name: [UInt8] = []
    repeat {
      try readString(into: &name)
      try expect(":")
      try body(&self, name)
    } while skip(",")
    try expect("}")
  }

  /// Calls `body` before each element of an array; it must read the element.
  mutating func forEachElement(
    _ body: (inout JSONScanner) throws(TokenizerError) -> Void
  ) throws(TokenizerError) {
    try expect("[")
    if skip("]") { return }
    repeat { try body(&self) } while skip(",")
    try expect("]")
  }

  /// Skips a value; returns where it stands.
  mutating func skipValue(depth: Int = 0) throws(TokenizerError) -> Range<Int> {
    let first = peek()
    let start = position
    guard depth < Self.deepest else { throw problem }
    switch first {
    case UInt8(ascii: "{"):
      try forEachMember { (scanner, _) throws(TokenizerError) in
        _ = try scanner.skipValue(depth: depth + 1)
      }
    case UInt8(ascii: "["):
      try forEachElement { (scanner) throws(TokenizerError) in
        _ = try scanner.skipValue(depth: depth + 1)
      }
    case UInt8(ascii: "\""):
      var ignored: [UInt8] = []
      try readString(into: &ignored)
    default:
      // The decoder of small values checks literals and numbers.
      while position < bytes.count, Self.isOfLiteral(bytes[position]) { position += 1 }
      if position == start { throw problem }
    }
    return start..<position
  }

  private static func isOfLiteral(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "E"):
      true
    default: false
    }
  }

  /// Reads a whole number.
  mutating func readInteger() throws(TokenizerError) -> Int32 {
    let isNegative = skip("-")
    var (value, count) = (Int64(0), 0)
    while position < bytes.count, case let digit = bytes[position] &- 0x30, digit < 10 {
      value = min(value * 10 + Int64(digit), Int64(Int32.max) + 1)
      position += 1
      count += 1
    }
    if position < bytes.count, Self.isOfLiteral(bytes[position]) { throw problem }
    guard count > 0, let result = Int32(exactly: isNegative ? -value : value) else { throw problem }
    return result
  }

  /// Reads a string into `result`, as UTF-8. A surrogate on its own is U+FFFD.
  mutating func readString(into result: inout [UInt8]) throws(TokenizerError) {
    result.removeAll(keepingCapacity: true)
    try expect("\"")
    var start = position
    var isASCII = true
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        result += bytes[start..<position]
        position += 1
        if !isASCII, !result.isValidUTF8 { throw Self.malformed(start) }
        return
      }
      if byte == UInt8(ascii: "\\") {
        result += bytes[start..<position]
        position += 1
        try readEscape(into: &result)
        start = position
        continue
      }
      if byte < 0x20 { throw problem }
      if byte >= 0x80 { isASCII = false }
      position += 1
    }
    throw problem
  }

  private mutating func readEscape(into result: inout [UInt8]) throws(TokenizerError) {
    guard position < bytes.count else { throw problem }
    position += 1
    switch bytes[position - 1] {
    case UInt8(ascii: "b"): result.append(8)
    case UInt8(ascii: "t"): result.append(9)
    case UInt8(ascii: "n"): result.append(10)
    case UInt8(ascii: "f"): result.append(12)
    case UInt8(ascii: "r"): result.append(13)
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
      result.append(bytes[position - 1])
    case UInt8(ascii: "u"):
      var value = try readUnit()
      if (0xd800..<0xdc00).contains(value), position + 1 < bytes.count,
        bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u")
      {
        let before = position
        position += 2
        let low = try readUnit()
        if (0xdc00..<0xe000).contains(low) {
          value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
        } else {
          position = before
        }
      }
      result.append(scalar: value)
    default: throw problem
    }
  }

  private mutating func readUnit() throws(TokenizerError) -> UInt32 {
    guard position + 4 <= bytes.count else { throw problem }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = bytes[position]
      guard byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw problem
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}

extension [UInt8] {
  /// Whether these bytes are UTF-8.
  var isValidUTF8: Bool {
    withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        let byte = bytes[index]
        if byte < 0x80 {
          index += 1
          continue
        }
        let length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4
        guard (0xc2..<0xf5).contains(byte), index + length <= bytes.count,
          bytes[(index + 1)..<(index + length)].allSatisfy({ $0 & 0xc0 == 0x80 })
        else { return false }
        let (value, _) = bytes.scalar(at: index)
        // Overlong forms, surrogates and what lies beyond Unicode.
        guard value >= (length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000),
          Unicode.Scalar(value) != nil
        else { return false }
        index += length
      }
      return true
    }
  }
}
