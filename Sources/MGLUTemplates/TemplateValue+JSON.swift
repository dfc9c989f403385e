import OrderedCollections

extension TemplateValue {
  /// Reads JSON. Mappings keep the order of their keys, which templates write out with `tojson`; of
  /// equal keys the last value counts.
  ///
  /// - Parameter json: The document as UTF-8.
  public init(json: some Collection<UInt8>) throws(TemplateError) {
    var reader = JSONReader(bytes: Array(json))
    self = try reader.document()
  }
}

/// Reads JSON into values of templates.
private struct JSONReader {
  let bytes: [UInt8]
  private var position = 0

  private static let deepest = 128

  init(bytes: [UInt8]) { self.bytes = bytes }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func fault(_ expected: String) -> TemplateError {
    TemplateError(.syntax, "JSON: byte \(position) is not \(expected)")
  }

  mutating func document() throws(TemplateError) -> TemplateValue {
    let value = try value(depth: 0)
    skipBlanks()
    guard position == bytes.count else { throw fault("the end") }
    return value
  }

  private mutating func skipBlanks() {
    while let byte = current, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { position += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipBlanks()
    guard current == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func value(depth: Int) throws(TemplateError) -> TemplateValue {
    guard depth < Self.deepest else {
      throw TemplateError(.limit, "JSON: values lie more than \(Self.deepest) deep")
    }
    if take("{") { return try mapping(depth: depth) }
    if take("[") { return try list(depth: depth) }
    switch current {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try word("true", .boolean(true))
    case UInt8(ascii: "f"): return try word("false", .boolean(false))
    case UInt8(ascii: "n"): return try word("null", .none)
    default: return try number()
    }
  }

  private mutating func word(
    _ word: String, _ value: TemplateValue
  ) throws(TemplateError) -> TemplateValue {
    guard bytes[position...].starts(with: word.utf8) else { throw fault(word) }
    position += word.utf8.count
    return value
  }

  private mutating func list(depth: Int) throws(TemplateError) -> TemplateValue {
    var values: [TemplateValue] = []
    if take("]") { return .list(values) }
    while true {
      values.append(try value(depth: depth + 1))
      if take("]") { return .list(values) }
      guard take(",") else { throw fault(", or ]") }
    }
  }

  private mutating func mapping(depth: Int) throws(TemplateError) -> TemplateValue {
    var values: OrderedDictionary<String, TemplateValue> = [:]
    if take("}") { return .mapping(values) }
    while true {
      skipBlanks()
      let key = try string()
      guard take(":") else { throw fault(":") }
      values[key] = try value(depth: depth + 1)
      if take("}") { return .mapping(values) }
      guard take(",") else { throw fault(", or }") }
    }
  }

  private mutating func number() throws(TemplateError) -> TemplateValue {
    let start = position
    while let byte = current, Unicode.Scalar(byte).isPartOfNumber { position += 1 }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    let digits = text.hasPrefix("-") ? text.dropFirst() : text[...]
    let isWhole = digits.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
    guard let first = digits.first, first.isASCII, first.isNumber,
      digits.count == 1 || first != "0" || !isWhole
    else {
      position = start
      throw fault("a value")
    }
    if isWhole { return Int(text).map(TemplateValue.integer) ?? .largeInteger(text) }
    guard let last = digits.last, last.isNumber, let value = Double(text) else {
      position = start
      throw fault("a number")
    }
    return .real(value)
  }

  private mutating func string() throws(TemplateError) -> String {
    guard current == UInt8(ascii: "\"") else { throw fault("a string") }
    position += 1
    var result: [UInt8] = []
    while let byte = current, byte != UInt8(ascii: "\"") {
      guard byte >= 0x20 else { throw fault("part of a string") }
      position += 1
      if byte == UInt8(ascii: "\\") {
        result.append(contentsOf: String(try escaped()).utf8)
      } else {
        result.append(byte)
      }
    }
    guard current != nil else { throw fault("the end of a string") }
    position += 1
    guard let string = String(validating: result, as: UTF8.self) else { throw fault("UTF-8") }
    return string
  }

  private mutating func escaped() throws(TemplateError) -> Unicode.Scalar {
    guard let byte = current else { throw fault("an escape") }
    position += 1
    switch Unicode.Scalar(byte) {
    case "\"", "\\", "/": return Unicode.Scalar(byte)
    case "b": return "\u{8}"
    case "f": return "\u{c}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      let unit = try unit()
      if let scalar = Unicode.Scalar(unit) { return scalar }
      guard unit < 0xDC00, bytes[position...].starts(with: [0x5C, 0x75]) else {
        throw fault("the other half of a surrogate pair")
      }
      position += 2
      let low = try self.unit()
      guard (0xDC00...0xDFFF).contains(low),
        let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
      else { throw fault("the other half of a surrogate pair") }
      return scalar
    default: throw fault("an escape")
    }
  }

  private mutating func unit() throws(TemplateError) -> UInt32 {
    let digits = String(decoding: bytes[position...].prefix(4), as: UTF8.self)
    guard digits.utf8.count == 4, let unit = UInt32(digits, radix: 16), !digits.hasPrefix("+")
    else { throw fault("four hexadecimal digits") }
    position += 4
    return unit
  }
}

extension Unicode.Scalar {
  fileprivate var isPartOfNumber: Bool {
    ("0"..."9") ~= self || self == "-" || self == "+" || self == "." || self == "e" || self == "E"
  }
}
