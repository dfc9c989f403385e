extension TemplateEvaluator {
  func number(
    _ filter: TemplateFilter, _ value: Value, _ given: FilterArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .abs:
      guard let number = value.number else { throw fault("abs of \(described(value))") }
      if case .real(let real) = number { return .real(real.magnitude) }
      return number.isLess(than: .integer(0)) ? try negated(number.value) : number.value
    case .float: return try float(value).map(Value.real) ?? given[0] ?? .real(0)
    case .int: return try int(value, given)
    case .filesizeformat:
      guard let bytes = try float(value) else { throw fault("filesizeformat of \(value.kind)") }
      return try text(Self.fileSize(bytes, isBinary: given.isOn(0)))
    default: return try round(value, given)
    }
  }

  /// Python's `float(value)`; `nil` where it is none.
  func float(_ value: Value) throws(TemplateError) -> Double? {
    switch value {
    case .undefined(let undefined): throw fault(undefined.reason)
    case .string(let text): return text.string.pythonFloat
    default:
      guard let number = value.number else { return nil }
      if case .big = number, number.real.isInfinite {
        throw fault("an integer is too large for a float")
      }
      return number.real
    }
  }

  private func int(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let standard = given[0] ?? .integer(0)
    switch value {
    case .string(let text):
      let base = given[1]?.index ?? 10
      try spend(text.string.utf8.count / 64)
      if let integer = text.string.pythonInteger(base: base) { return Number.big(integer).value }
    case .real(let real) where real.isInfinite: throw fault("an infinite number as an integer")
    case .boolean, .integer, .big: return value.number?.value ?? .none
    default: break
    }
    guard let real = try float(value), real.isFinite else { return standard }
    return Number.big(BigInteger(real)).value
  }

  private func round(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    guard let number = value.number else { throw fault("round of \(described(value))") }
    let method = try given[1].map(string) ?? "common"
    guard let precision = (given[0] ?? .integer(0)).index else {
      throw fault("round to \(given[0]?.kind ?? "nothing") digits")
    }
    guard ["common", "ceil", "floor"].contains(method) else { throw fault("round by \(method)") }
    if method != "common" {
      let scale = try operate(.power, .integer(10), .integer(precision))
      let scaled = try operate(.multiply, number.value, scale)
      var whole = scaled
      if case .real(let real) = scaled {
        guard real.isFinite else { throw fault("round of a number without digits") }
        let rule = method == "ceil" ? FloatingPointRoundingRule.up : .down
        whole = Number.big(BigInteger(real.rounded(rule))).value
      }
      return try operate(.divide, whole, scale)
    }
    if case .real(let real) = number { return .real(real.rounded(digits: precision)) }
    guard precision < 0, let integer = number.big else { return number.value }
    guard precision > -5000 else { return .integer(0) }
    // Half of the unit goes to the even side.
    guard let unit = try operate(.power, .integer(10), .integer(-precision)).number?.big else {
      return number.value
    }
    let (quotient, rest) = integer.dividedDown(by: unit)
    let double = rest + rest
    let isUp = unit < double || unit == double && quotient.isOdd
    return Number.big((isUp ? quotient + BigInteger(1) : quotient) * unit).value
  }

  private static func fileSize(_ bytes: Double, isBinary: Bool) -> String {
    let base = isBinary ? 1024.0 : 1000
    if bytes == 1 { return "1 Byte" }
    if bytes < base { return "\(BigInteger(bytes.isFinite ? bytes : 0).description()) Bytes" }
    var unit = base
    let names = ["k", "M", "G", "T", "P", "E", "Z", "Y"]
    for (index, name) in names.enumerated() {
      unit *= base
      if bytes < unit || index == names.count - 1 {
        let prefix = isBinary ? (name == "k" ? "Ki" : name + "i") : name
        return "\((base * bytes / unit).formatted("f", precision: 1)) \(prefix)B"
      }
    }
    return ""
  }
}

extension Double {
  /// Rounded to `digits` decimal digits, on a tie as the exact number lies, as in Python.
  func rounded(digits: Int) -> Double {
    guard isFinite, digits <= 323 else { return self }
    if digits >= 0 { return Double(formatted("f", precision: digits)) ?? self }
    guard digits >= -308 else { return 0 }
    let text = formatted("e", precision: 17)
    let exponent = Int(text.drop { $0 != "e" }.dropFirst()) ?? 0
    guard exponent + digits >= 0 else {
      let unit = Double("1e\(-digits)") ?? .infinity
      return Double(signOf: self, magnitudeOf: magnitude > unit / 2 ? unit : 0)
    }
    return Double(formatted("e", precision: exponent + digits)) ?? self
  }
}

extension String {
  /// The number that Python's `float` reads.
  var pythonFloat: Double? {
    var digits = ""
    var last: Unicode.Scalar = "."
    for scalar in stripped().unicodeScalars {
      let isDigit = scalar.properties.generalCategory == .decimalNumber
      if scalar == "_" {
        guard last.properties.generalCategory == .decimalNumber else { return nil }
      } else if isDigit {
        digits += String(Int(scalar.properties.numericValue ?? 0))
      } else {
        guard last != "_", scalar.isASCII else { return nil }
        digits.unicodeScalars.append(scalar)
      }
      last = scalar
    }
    guard last != "_" else { return nil }
    let plain = digits.lowercased().drop { $0 == "+" || $0 == "-" }
    let isNegative = digits.hasPrefix("-")
    guard digits.count - plain.count <= 1 else { return nil }
    switch plain {
    case "inf", "infinity": return isNegative ? -.infinity : .infinity
    case "nan": return .nan
    default: break
    }
    guard plain.contains(where: \.isNumber), plain.utf8.first != UInt8(ascii: "e"),
      plain.utf8.allSatisfy({ (48...57).contains($0) || [43, 45, 46, 101].contains($0) })
    else { return nil }
    // Swift reads no number that begins or ends with a point.
    var mantissa = plain.prefix { $0 != "e" }
    let exponent = plain.dropFirst(mantissa.count)
    guard mantissa.contains(where: \.isNumber), mantissa.filter({ $0 == "." }).count <= 1,
      !mantissa.contains("-"), !mantissa.contains("+")
    else { return nil }
    if mantissa.hasSuffix(".") { mantissa = mantissa.dropLast() }
    let number = (mantissa.hasPrefix(".") ? "0" : "") + mantissa + exponent
    guard let value = Double(number) else { return nil }
    return isNegative ? -value : value
  }

  /// The integer that Python's `int` reads.
  func pythonInteger(base: Int) -> BigInteger? {
    guard base == 0 || 2...36 ~= base else { return nil }
    var rest = stripped().unicodeScalars[...]
    var sign = ""
    if let first = rest.first, first == "-" || first == "+" {
      sign = first == "-" ? "-" : ""
      rest = rest.dropFirst()
    }
    var radix = base
    var mayBeSeparated = false
    if rest.first == "0", let second = rest.dropFirst().first,
      let found = ["x": 16, "o": 8, "b": 2][String(second).lowercased()],
      base == 0 || base == found
    {
      radix = found
      rest = rest.dropFirst(2)
      mayBeSeparated = true
    }
    if radix == 0 {
      radix = 10
      guard rest.first != "0" || rest.allSatisfy({ $0 == "0" || $0 == "_" }) else { return nil }
    }
    var digits = ""
    for scalar in rest {
      if scalar == "_" {
        guard mayBeSeparated else { return nil }
        mayBeSeparated = false
        continue
      }
      mayBeSeparated = true
      if scalar.properties.generalCategory == .decimalNumber {
        digits += String(Int(scalar.properties.numericValue ?? 0))
      } else {
        guard scalar.isASCII else { return nil }
        digits.unicodeScalars.append(scalar)
      }
    }
    guard mayBeSeparated, digits.utf8.count <= 4300, !digits.hasPrefix("-"), !digits.hasPrefix("+")
    else { return nil }
    return BigInteger(sign + digits, radix: radix)
  }
}
