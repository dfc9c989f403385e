#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension Double {
  /// The number as C writes it: `kind` is one of `e`, `f`, `g`; `isFull` keeps zeros and the point.
  func formatted(_ kind: String, precision: Int, isFull: Bool = false) -> String {
    let format = "%\(isFull ? "#" : "").*\(kind)"
    let arguments: [any CVarArg] = [Int32(clamping: precision), self]
    return withVaList(arguments) { list in
      var size = 512 + min(max(precision, 0), 1 << 20)
      while true {
        let text: String? = withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) {
          buffer in
          let count = Int(vsnprintf(buffer.baseAddress, size, format, list))
          guard count < size else { return nil }
          return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        if let text { return text }
        size *= 2
      }
    }
  }
}

/// Python's mini-language of formats: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.
struct FormatSpecification {
  var fill: Unicode.Scalar = " "
  var align: Unicode.Scalar?
  var sign: Unicode.Scalar = "-"
  var isAlternate = false
  var width = 0
  var grouping: Unicode.Scalar?
  var precision: Int?
  var kind: Unicode.Scalar?

  static let widest = 1 << 20

  /// Reads a specification; `nil` where it is none.
  init?(_ text: String) {
    var rest = Array(text.unicodeScalars)[...]
    let aligns: Set<Unicode.Scalar> = ["<", ">", "=", "^"]
    if let second = rest.dropFirst().first, aligns.contains(second) {
      (fill, align) = (rest.removeFirst(), rest.removeFirst())
    } else if let first = rest.first, aligns.contains(first) {
      align = rest.removeFirst()
    }
    if let first = rest.first, ["+", "-", " "].contains(first) { sign = rest.removeFirst() }
    if rest.first == "#" {
      isAlternate = true
      rest.removeFirst()
    }
    if rest.first == "0" {
      if align == nil { (fill, align) = ("0", "=") }
      rest.removeFirst()
    }
    guard let width = Self.number(&rest) else { return nil }
    self.width = width
    if let first = rest.first, first == "," || first == "_" { grouping = rest.removeFirst() }
    if rest.first == "." {
      rest.removeFirst()
      guard let first = rest.first, ("0"..."9").contains(first), let number = Self.number(&rest)
      else { return nil }
      precision = number
    }
    kind = rest.popFirst()
    guard rest.isEmpty else { return nil }
  }

  private static func number(_ rest: inout ArraySlice<Unicode.Scalar>) -> Int? {
    var value = 0
    while let first = rest.first, ("0"..."9").contains(first) {
      value = value * 10 + Int(first.value - 48)
      guard value <= widest else { return nil }
      rest.removeFirst()
    }
    return value
  }

  /// `text` with `fill` around it. Zeros go after the sign and what `prefix` more there is.
  func padded(_ text: String, standard: Unicode.Scalar, prefix: Int = 0) -> String {
    let missing = width - text.unicodeScalars.count
    guard missing > 0 else { return text }
    let fill = String(repeating: String(fill), count: missing)
    switch align ?? standard {
    case "<": return text + fill
    case "^":
      let left = String(fill.unicodeScalars.prefix(missing / 2))
      return left + text + String(fill.unicodeScalars.dropFirst(missing / 2))
    case "=":
      return String(text.unicodeScalars.prefix(prefix)) + fill
        + String(text.unicodeScalars.dropFirst(prefix))
    default: return fill + text
    }
  }

  /// A string; `nil` where the specification is one of numbers.
  func string(_ text: String) -> String? {
    guard kind == nil || kind == "s", sign == "-", !isAlternate, grouping == nil,
      align != "=" || fill == "0"
    else { return nil }
    let cut = precision.map { String(text.unicodeScalars.prefix($0)) } ?? text
    var specification = self
    if align == "=" { specification.align = "<" }
    return specification.padded(cut, standard: "<")
  }

  private func signed(_ digits: String, isNegative: Bool, prefix: String = "") -> String {
    let mark = isNegative ? "-" : sign == "-" ? "" : String(sign)
    let length = mark.unicodeScalars.count + prefix.unicodeScalars.count
    guard let grouping, align == "=", fill == "0" else {
      return padded(mark + prefix + grouped(digits), standard: ">", prefix: length)
    }
    // Zeros are grouped too.
    var filled = digits
    while length + grouped("0" + filled).unicodeScalars.count <= width { filled = "0" + filled }
    if length + grouped(filled).unicodeScalars.count < width, grouping == "," || grouping == "_" {
      filled = "0" + filled
    }
    return mark + prefix + grouped(filled)
  }

  private func grouped(_ digits: String) -> String {
    guard let grouping else { return digits }
    let whole = digits.prefix { $0.isHexDigit && $0 != "." }
    let isDecimal = kind == nil || !["b", "o", "x", "X"].contains(kind)
    let integers = isDecimal ? digits.prefix(while: \.isNumber) : whole
    let size = isDecimal ? 3 : 4
    var result = ""
    for (index, digit) in integers.enumerated() {
      if index > 0, (integers.count - index) % size == 0 { result.unicodeScalars.append(grouping) }
      result.append(digit)
    }
    return result + digits.dropFirst(integers.count)
  }

  /// An integer; `nil` where the specification is not one of integers.
  func integer(_ value: BigInteger) -> String? {
    guard precision == nil else { return nil }
    let magnitude = value.isNegative ? -value : value
    let radix: Int
    switch kind {
    case nil, "d", "n": radix = 10
    case "b": radix = 2
    case "o": radix = 8
    case "x", "X": radix = 16
    case "c":
      guard let code = value.machineInteger,
        let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init)
      else { return nil }
      return padded(String(scalar), standard: "<")
    default: return nil
    }
    guard grouping != "," || radix == 10 else { return nil }
    var digits = magnitude.description(radix: radix)
    if kind == "X" { digits = digits.uppercased() }
    let prefix = isAlternate && radix != 10 ? "0\(kind.map(String.init) ?? "")" : ""
    return signed(digits, isNegative: value.isNegative, prefix: prefix)
  }

  /// A float; `nil` where the specification is not one of floats.
  func real(_ value: Double) -> String? {
    let isNegative = value.sign == .minus && !value.isNaN
    let magnitude = value.magnitude
    var digits: String
    switch kind {
    case nil where precision == nil:
      digits = magnitude.pythonDescription
    case nil:
      let most = max(precision ?? 0, 1)
      digits = magnitude.formatted("g", precision: most, isFull: isAlternate)
      // Unlike `g`, a float keeps one digit behind the point.
      let exponent =
        Int(magnitude.formatted("e", precision: most - 1).drop { $0 != "e" }.dropFirst()) ?? 0
      if magnitude.isFinite, exponent >= most - 1, !digits.contains("e") {
        digits = magnitude.formatted("e", precision: most - 1)
        let mantissa = digits.prefix { $0 != "e" }
        if mantissa.contains(".") {
          var short = mantissa
          while short.hasSuffix("0") { short.removeLast() }
          if short.hasSuffix(".") { short.removeLast() }
          digits = String(short) + digits.dropFirst(mantissa.count)
        }
      } else if magnitude.isFinite, !digits.contains("."), !digits.contains("e") {
        digits += ".0"
      }
    case "e", "E", "f", "F", "g", "G", "n":
      let letter = kind == "n" ? "g" : String(kind ?? "g").lowercased()
      let most = precision ?? 6
      digits = magnitude.formatted(
        letter, precision: letter == "g" ? max(most, 1) : most, isFull: isAlternate)
    case "%":
      digits =
        (magnitude * 100).formatted("f", precision: precision ?? 6, isFull: isAlternate) + "%"
    default: return nil
    }
    if let kind, "EFG".unicodeScalars.contains(kind) { digits = digits.uppercased() }
    return signed(digits, isNegative: isNegative)
  }
}
