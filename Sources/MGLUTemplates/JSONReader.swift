import MGLUCompute
import OrderedCollections

/// Why a document is not read.
package enum JSONProblem: Sendable {
  /// It is not JSON.
  case syntax
  /// It is not valid UTF-8.
  case encoding
  /// A string has half of a surrogate pair.
  case surrogate
  /// Its values lie too deep in each other.
  case depth
}

/// An error of reading JSON.
package typealias JSONError = Failure<JSONProblem>

/// Reads one JSON document.
struct JSONReader {
  /// How many arrays and objects lie in each other at most.
  private static let deepest = 128

  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) throws(JSONError) {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw JSONError(.encoding, "not valid UTF-8")
    }
    self.bytes = bytes
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
  }

  mutating func readDocument() throws(JSONError) -> TemplateValue {
    let value = try readValue(depth: 0)
    if peek() != nil { throw unexpected("the end") }
    return value
  }

  /// The next byte after white space; `nil` at the end.
  private mutating func peek() -> UInt8? {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x9, 0xa, 0xd: position += 1
      case let byte: return byte
      }
    }
    return nil
  }

  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard peek() == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private func unexpected(_ wanted: String) -> JSONError {
    let found =
      position < bytes.count
      ? Unicode.Scalar(bytes[position]).escaped(asASCII: true) : "the end of the document"
    return JSONError(.syntax, "not valid JSON: \(found) at byte \(position), expected \(wanted)")
  }

  private mutating func readValue(depth: Int) throws(JSONError) -> TemplateValue {
    switch peek() {
    case UInt8(ascii: "{"): return try readObject(depth: depth)
    case UInt8(ascii: "["): return try readArray(depth: depth)
    case UInt8(ascii: "\""): return .string(try readString())
    case let byte? where byte == UInt8(ascii: "-") || byte &- 0x30 < 10: return try readNumber()
    default: return try readWord()
    }
  }

  private mutating func enter(_ depth: Int) throws(JSONError) {
    position += 1
    guard depth < Self.deepest else {
      throw JSONError(
        .depth, "the document is nested too deeply: expected at most \(Self.deepest) levels")
    }
  }

  private mutating func readArray(depth: Int) throws(JSONError) -> TemplateValue {
    try enter(depth)
    var values: [TemplateValue] = []
    if skip("]") { return .list(values) }
    repeat { values.append(try readValue(depth: depth + 1)) } while skip(",")
    guard skip("]") else { throw unexpected("a comma or ]") }
    return .list(values)
  }

  private mutating func readObject(depth: Int) throws(JSONError) -> TemplateValue {
    try enter(depth)
    var members: OrderedDictionary<String, TemplateValue> = [:]
    if skip("}") { return .mapping(members) }
    repeat {
      guard peek() == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
      let key = try readString()
      guard skip(":") else { throw unexpected("a colon") }
      members[key] = try readValue(depth: depth + 1)
    } while skip(",")
    guard skip("}") else { throw unexpected("a comma or }") }
    return .mapping(members)
  }

  private mutating func readWord() throws(JSONError) -> TemplateValue {
    let words: [(String, TemplateValue)] = [
      ("null", .none), ("true", .boolean(true)), ("false", .boolean(false)), ("NaN", .real(.nan)),
      ("Infinity", .real(.infinity)),
    ]
    for (word, value) in words where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw unexpected("a value")
  }

  private mutating func readNumber() throws(JSONError) -> TemplateValue {
    let start = position
    func isDigit(_ index: Int) -> Bool { index < bytes.count && bytes[index] &- 0x30 < 10 }
    func skipDigits() throws(JSONError) {
      guard isDigit(position) else { throw unexpected("a digit") }
      while isDigit(position) { position += 1 }
    }
    func next(isOneOf characters: String) -> Bool {
      position < bytes.count && characters.utf8.contains(bytes[position])
    }
    if next(isOneOf: "-") {
      position += 1
      if bytes[position...].starts(with: "Infinity".utf8) {
        position += "Infinity".utf8.count
        return .real(-.infinity)
      }
    }
    if next(isOneOf: "0") {
      position += 1
      if isDigit(position) { throw unexpected("no digit after a leading zero") }
    } else {
      try skipDigits()
    }
    var isWhole = true
    if next(isOneOf: ".") {
      position += 1
      isWhole = false
      try skipDigits()
    }
    if next(isOneOf: "eE") {
      position += 1
      isWhole = false
      if next(isOneOf: "+-") { position += 1 }
      try skipDigits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isWhole { return Int(text).map(TemplateValue.integer) ?? .largeInteger(text) }
    return .real(Double(text) ?? .nan)
  }

  private mutating func readString() throws(JSONError) -> String {
    position += 1
    var start = position
    var result: [UInt8] = []
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        defer { position += 1 }
        if result.isEmpty { return String(decoding: bytes[start..<position], as: UTF8.self) }
        result += bytes[start..<position]
        return String(decoding: result, as: UTF8.self)
      case UInt8(ascii: "\\"):
        result += bytes[start..<position]
        position += 1
        result += try readEscape()
        start = position
      case 0..<0x20: throw unexpected("no control character in a string")
      default: position += 1
      }
    }
    throw unexpected("the end of a string")
  }

  private mutating func readEscape() throws(JSONError) -> [UInt8] {
    let escapes: [(Unicode.Scalar, UInt8)] = [
      ("\"", 0x22), ("\\", 0x5c), ("/", 0x2f), ("b", 8), ("f", 12), ("n", 10), ("r", 13), ("t", 9),
    ]
    guard position < bytes.count else { throw unexpected("an escape") }
    if let (_, byte) = escapes.first(where: { UInt8(ascii: $0.0) == bytes[position] }) {
      position += 1
      return [byte]
    }
    guard bytes[position] == UInt8(ascii: "u") else { throw unexpected("an escape") }
    let start = position - 1
    let unit = try readUnit()
    var value = UInt32(unit)
    if UTF16.isLeadSurrogate(unit), bytes[position...].starts(with: "\\u".utf8) {
      position += 1
      let second = try readUnit()
      if UTF16.isTrailSurrogate(second) {
        value = 0x10000 + (UInt32(unit) & 0x3ff) << 10 + UInt32(second) & 0x3ff
      }
    }
    guard let scalar = Unicode.Scalar(value) else {
      throw JSONError(
        .surrogate,
        "a string has half of a surrogate pair, \\u\(String(unit, radix: 16)), at byte \(start): "
          + "expected both halves")
    }
    return Array(String(scalar).utf8)
  }

  /// The four digits after a `u`, where it stands.
  private mutating func readUnit() throws(JSONError) -> UInt16 {
    position += 1
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard position < bytes.count,
        let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue, bytes[position] < 0x80
      else { throw unexpected("four hexadecimal digits") }
      unit = unit << 4 | UInt16(digit)
      position += 1
    }
    return unit
  }
}
