extension TemplateEvaluator {
  /// The filter `format`.
  func format(_ value: Value, _ arguments: TemplateArguments) throws(TemplateError) -> Value {
    guard arguments.positional.isEmpty || arguments.named.isEmpty else {
      throw fault("format takes either names or none")
    }
    let text = Text(try string(value), isMarkup: value.isMarkup, in: memory)
    guard !arguments.named.isEmpty else {
      return try formatted(text, try tuple(arguments.positional))
    }
    return try formatted(text, try call(.dict, arguments))
  }

  /// Python's `format % values`.
  func formatted(_ format: Text, _ values: Value) throws(TemplateError) -> Value {
    var rest = Array(format.string.unicodeScalars)[...]
    var result = ""
    var arguments: [Value] = [values]
    if case .tuple(let values) = values { arguments = values.elements }
    var (next, isNamed) = (0, false)
    func take() throws(TemplateError) -> Value {
      guard next < arguments.count else { throw fault("the format lacks values") }
      next += 1
      return arguments[next - 1]
    }
    func number() throws(TemplateError) -> Int? {
      if rest.first == "*" {
        rest.removeFirst()
        guard let count = try take().index, count.magnitude <= FormatSpecification.widest.magnitude
        else { throw fault("* in a format without an integer") }
        return count
      }
      var (value, isFound) = (0, false)
      while let digit = rest.first, ("0"..."9").contains(digit) {
        (value, isFound) = (value * 10 + Int(digit.value - 48), true)
        guard value <= FormatSpecification.widest else {
          throw fault("a width is too large", .limit)
        }
        rest.removeFirst()
      }
      return isFound ? value : nil
    }
    func append(_ text: String) throws(TemplateError) {
      try require(bytes: result.utf8.count + text.utf8.count, new: text.utf8.count)
      result += text
    }
    while let first = rest.popFirst() {
      guard first == "%" else {
        result.unicodeScalars.append(first)
        continue
      }
      var source: Value?
      if rest.first == "(" {
        var (name, depth) = (String.UnicodeScalarView(), 1)
        rest.removeFirst()
        while let scalar = rest.popFirst() {
          if scalar == "(" { depth += 1 }
          if scalar == ")" { depth -= 1 }
          if depth == 0 { break }
          name.append(scalar)
        }
        guard case .mapping(let mapping) = values else {
          throw fault("a format with names lacks a mapping")
        }
        guard let found = mapping[String(name)] else {
          throw fault("the format's \(String(name)) is missing")
        }
        (source, isNamed) = (found, true)
      }
      var flags: Set<Unicode.Scalar> = []
      while let flag = rest.first, "-+ #0".unicodeScalars.contains(flag) {
        flags.insert(rest.removeFirst())
      }
      let width = try number() ?? 0
      var precision: Int?
      if rest.first == "." {
        rest.removeFirst()
        precision = max(0, try number() ?? 0)
      }
      while let size = rest.first, "hlL".unicodeScalars.contains(size) { rest.removeFirst() }
      guard let kind = rest.popFirst() else { throw fault("a format ends in %") }
      if kind == "%" {
        try append("%")
        continue
      }
      let value = try source.or(take())
      var specification = FormatSpecification("") ?? .plain
      specification.width = Swift.abs(width)
      specification.precision = precision
      specification.align = flags.contains("-") || width < 0 ? "<" : nil
      if flags.contains("0"), specification.align == nil {
        (specification.fill, specification.align) = ("0", "=")
      }
      specification.sign = flags.contains("+") ? "+" : flags.contains(" ") ? " " : "-"
      specification.isAlternate = flags.contains("#")
      try append(try part(kind, value, specification, isMarkup: format.isMarkup))
    }
    var isUsed = isNamed || next == arguments.count
    if case .mapping = values { isUsed = true }
    // A list may be left over where it is the one value: Python takes it for a mapping.
    if case .list = values, next == 0 { isUsed = true }
    if case .range = values, next == 0 { isUsed = true }
    guard isUsed else { throw fault("the format leaves values over") }
    return try text(result, isMarkup: format.isMarkup)
  }

  /// One value of a `%` format.
  private func part(
    _ kind: Unicode.Scalar, _ value: Value, _ specification: FormatSpecification, isMarkup: Bool
  ) throws(TemplateError) -> String {
    var specification = specification
    switch kind {
    case "s", "r", "a":
      var string = try kind == "s" ? self.string(value) : representation(value)
      if isMarkup { string = try escaped(kind == "s" ? value : try text(string)).text ?? "" }
      if let precision = specification.precision {
        string = String(string.unicodeScalars.prefix(precision))
      }
      if kind == "a" {
        string = string.unicodeScalars.map { scalar in
          guard !scalar.isASCII else { return String(scalar) }
          let (letter, digits) =
            scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
          return "\\\(letter)\(scalar.hexadecimal(digits))"
        }.joined()
      }
      if specification.align == "=" { (specification.fill, specification.align) = (" ", nil) }
      return specification.padded(string, standard: ">")
    case "c":
      if specification.align == "=" { (specification.fill, specification.align) = (" ", nil) }
      if let string = value.text, string.unicodeScalars.count == 1 {
        return specification.padded(string, standard: ">")
      }
      guard let code = value.index.flatMap({ UInt32(exactly: $0) }),
        let scalar = Unicode.Scalar(code)
      else { throw fault("%c of \(described(value))") }
      return specification.padded(String(scalar), standard: ">")
    case "d", "i", "u", "o", "x", "X":
      guard let number = value.number else {
        throw fault("%\(String(kind)) of \(described(value))")
      }
      var integer = number.big ?? BigInteger(0)
      if case .real(let real) = number {
        guard real.isFinite, !["o", "x", "X"].contains(kind) else {
          throw fault("%\(String(kind)) of a float")
        }
        integer = BigInteger(real)
      }
      specification.kind = ["i", "u"].contains(kind) ? "d" : kind
      let precision = specification.precision
      specification.precision = nil
      if let precision {
        var digits = specification
        (digits.width, digits.align, digits.sign) = (0, nil, "-")
        digits.isAlternate = false
        let text = digits.integer(integer.isNegative ? -integer : integer) ?? ""
        let zeros = String(repeating: "0", count: max(0, precision - text.utf8.count))
        let prefix = specification.isAlternate && kind != "d" ? "0\(String(kind))" : ""
        let sign =
          integer.isNegative ? "-" : specification.sign == "-" ? "" : String(specification.sign)
        return specification.padded(
          sign + prefix + zeros + text, standard: ">", prefix: sign.utf8.count + prefix.utf8.count)
      }
      return specification.integer(integer) ?? ""
    case "e", "E", "f", "F", "g", "G":
      guard let real = try float(value), value.text == nil else {
        throw fault("%\(String(kind)) of \(described(value))")
      }
      specification.kind = kind
      return specification.real(real) ?? ""
    default: throw fault("%\(String(kind)) in a format")
    }
  }

  /// Python's `string.format(...)`, or `format_map`.
  func formatted(
    _ text: Text, _ name: String, _ arguments: TemplateArguments
  ) throws(TemplateError) -> String {
    var given = arguments
    var mapping: Value?
    if name == "format_map" {
      mapping = try bind(arguments, to: ["mapping"], required: 1, of: name)[0]
      given = .init()
    }
    var automatic = 0
    return try filled(text, given, mapping, &automatic, depth: 0)
  }

  private func filled(
    _ text: Text, _ arguments: TemplateArguments, _ mapping: Value?, _ automatic: inout Int,
    depth: Int
  ) throws(TemplateError) -> String {
    guard depth < 3 else { throw fault("a format has fields three deep") }
    var rest = Array(text.string.unicodeScalars)[...]
    var result = ""
    while let scalar = rest.popFirst() {
      guard scalar == "{" || scalar == "}" else {
        result.unicodeScalars.append(scalar)
        continue
      }
      if rest.first == scalar {
        result.unicodeScalars.append(rest.removeFirst())
        continue
      }
      guard scalar == "{" else { throw fault("a format has a single }") }
      var (field, open) = (String.UnicodeScalarView(), 1)
      while let next = rest.popFirst() {
        if next == "{" { open += 1 }
        if next == "}" { open -= 1 }
        if open == 0 { break }
        field.append(next)
      }
      guard open == 0 else { throw fault("a field of a format does not end") }
      let part = try self.field(
        String(field), text, arguments, mapping, &automatic, depth: depth)
      try require(bytes: result.utf8.count + part.utf8.count, new: part.utf8.count)
      result += part
    }
    return result
  }

  /// `name!conversion:specification` of a format.
  private func field(
    _ field: String, _ text: Text, _ arguments: TemplateArguments, _ mapping: Value?,
    _ automatic: inout Int, depth: Int
  ) throws(TemplateError) -> String {
    var open = 0
    let end =
      field.unicodeScalars.firstIndex { scalar in
        if scalar == "[" { open += 1 }
        if scalar == "]" { open -= 1 }
        return open == 0 && (scalar == "!" || scalar == ":")
      } ?? field.endIndex
    var value = try self.value(String(field[..<end]), arguments, mapping, &automatic)
    var rest = field[end...]
    if rest.hasPrefix("!") {
      let kind = rest.dropFirst().first
      rest = rest.dropFirst(2)
      switch kind {
      case "s": value = try self.text(try string(value))
      case "r", "a": value = try self.text(try representation(value))
      default: throw fault("a format converts by !\(kind.map(String.init) ?? "")")
      }
      guard rest.isEmpty || rest.hasPrefix(":") else { throw fault("a format lacks : after !") }
    }
    let inner = Text(String(rest.dropFirst()), isMarkup: false, in: memory)
    let specification = try filled(inner, arguments, mapping, &automatic, depth: depth + 1)
    let result = try formatted(value, specification)
    guard text.isMarkup else { return result }
    return try escaped(value.isMarkup ? value : try self.text(result)).text ?? ""
  }

  private func value(
    _ path: String, _ arguments: TemplateArguments, _ mapping: Value?, _ automatic: inout Int
  ) throws(TemplateError) -> Value {
    let first = path.prefix { $0 != "." && $0 != "[" }
    var rest = path[first.endIndex...]
    var value: Value
    if first.isEmpty || first.utf8.allSatisfy({ (48...57).contains($0) }) {
      var index = Int(first) ?? 0
      if first.isEmpty {
        guard automatic >= 0 else { throw fault("a format mixes numbers with none") }
        index = automatic
        automatic += 1
      } else {
        guard automatic <= 0 else { throw fault("a format mixes numbers with none") }
        automatic = -1
      }
      guard index < arguments.positional.count else { throw fault("the format lacks values") }
      value = arguments.positional[index]
    } else if let mapping {
      guard case .mapping(let entries) = mapping, let found = entries[String(first)] else {
        throw fault("the format's \(first) is missing")
      }
      value = found
    } else {
      guard let found = arguments.named.first(where: { $0.name == first }) else {
        throw fault("the format's \(first) is missing")
      }
      value = found.value
    }
    while let sign = rest.popFirst() {
      if sign == "." {
        let name = rest.prefix { $0 != "." && $0 != "[" }
        guard !name.isEmpty else { throw fault("a format has an empty member") }
        value = try attribute(String(name), of: value)
        rest = rest[name.endIndex...]
      } else {
        let index = rest.prefix { $0 != "]" }
        guard sign == "[", !index.isEmpty, index.endIndex < rest.endIndex else {
          throw fault("a format has an empty item")
        }
        value = try item(try Int(index).map(Value.integer).or(text(String(index))), of: value)
        rest = rest[index.endIndex...].dropFirst()
      }
    }
    return value
  }

  /// Python's `format(value, specification)`.
  func formatted(_ value: Value, _ specification: String) throws(TemplateError) -> String {
    if specification.isEmpty { return try string(value) }
    guard let parsed = FormatSpecification(specification) else {
      throw fault("\(specification) is no format")
    }
    var result: String?
    switch value {
    case .string(let text): result = parsed.string(text.string)
    case .boolean where parsed.kind == nil || parsed.kind == "s":
      result = parsed.string(try string(value))
      if parsed.kind == nil { result = parsed.integer(value.number?.big ?? BigInteger(0)) }
    case .boolean, .integer, .big:
      guard let number = value.number, let integer = number.big else { break }
      result = parsed.integer(integer)
      if result == nil, let kind = parsed.kind, "eEfFgG%".unicodeScalars.contains(kind) {
        result = parsed.real(number.real)
      }
    case .real(let real): result = parsed.real(real)
    default: break
    }
    guard let result else { throw fault("\(specification) is no format of \(described(value))") }
    return result
  }
}

extension FormatSpecification {
  fileprivate static var plain: FormatSpecification { FormatSpecification(plainly: ()) }

  private init(plainly: Void) {}
}
