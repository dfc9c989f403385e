extension TemplateEvaluator {
  /// The value as a template writes it: Python's `str`.
  func string(_ value: Value) throws(TemplateError) -> String {
    switch value {
    case .undefined: return ""
    case .string(let text): return text.string
    default: return try representation(value)
    }
  }

  /// The value as it stands in a list that is written: Python's `repr`.
  func representation(_ value: Value) throws(TemplateError) -> String {
    var result = ""
    try represent(value, to: &result)
    return result
  }

  private func append(_ part: String, to result: inout String) throws(TemplateError) {
    try spend(1)
    try require(bytes: result.utf8.count + part.utf8.count, new: part.utf8.count)
    result += part
  }

  /// Throws if a string that grows by `new` bytes to `bytes` is too long.
  func require(bytes: Int, new: Int) throws(TemplateError) {
    try spend(new / 64)
    guard bytes <= Self.mostBytes else { return try require(bytes: bytes) }
  }

  private func represent(_ value: Value, to result: inout String) throws(TemplateError) {
    switch value {
    case .undefined: try append("Undefined", to: &result)
    case .none: try append("None", to: &result)
    case .boolean(let value): try append(value ? "True" : "False", to: &result)
    case .integer(let value): try append(String(value), to: &result)
    case .big(let big): try append(try digits(big.integer), to: &result)
    case .real(let value): try append(value.pythonDescription, to: &result)
    case .string(let text):
      try require(bytes: text.string.utf8.count)
      let quoted = text.string.pythonQuoted
      try append(text.isMarkup ? "Markup(\(quoted))" : quoted, to: &result)
    case .list(let values): try represent(values.elements, "[", "]", to: &result)
    case .tuple(let values):
      try represent(values.elements, "(", values.elements.count == 1 ? ",)" : ")", to: &result)
    case .mapping(let mapping): try represent(mapping.entries.elements, to: &result)
    case .range(let range):
      let step = range.step == 1 ? "" : ", \(range.step)"
      try append("range(\(range.start), \(range.stop)\(step))", to: &result)
    case .object(let object): try represent(object, to: &result)
    }
  }

  private func represent(_ object: TemplateObject, to result: inout String) throws(TemplateError) {
    switch object {
    case let namespace as Namespace:
      guard !namespace.isWritten else { return try append("<Namespace {...}>", to: &result) }
      namespace.isWritten = true
      defer { namespace.isWritten = false }
      try append("<Namespace ", to: &result)
      try nested { () throws(TemplateError) in
        try represent(namespace.members.elements, to: &result)
      }
      try append(">", to: &result)
    case let view as MappingView:
      try append("dict_\(view.part.rawValue)(", to: &result)
      try represent(try elements(of: .object(view)), "[", "]", to: &result)
      try append(")", to: &result)
    case let loop as LoopObject:
      try append("<LoopContext \(loop.index0 + 1)/\(try count(of: loop))>", to: &result)
    default: try append(object.representation, to: &result)
    }
  }

  private func represent(
    _ values: [Value], _ open: String, _ close: String, to result: inout String
  ) throws(TemplateError) {
    try append(open, to: &result)
    for (index, value) in values.enumerated() {
      if index > 0 { try append(", ", to: &result) }
      try represent(value, to: &result)
    }
    try append(close, to: &result)
  }

  private func represent(
    _ entries: some Sequence<(key: MappingKey, value: Value)>, to result: inout String
  ) throws(TemplateError) {
    try append("{", to: &result)
    var isFirst = true
    for (key, value) in entries {
      if !isFirst { try append(", ", to: &result) }
      isFirst = false
      try represent(key.value, to: &result)
      try append(": ", to: &result)
      try represent(value, to: &result)
    }
    try append("}", to: &result)
  }

  /// The decimal digits of an integer, of which Python writes at most 4300.
  func digits(_ integer: BigInteger) throws(TemplateError) -> String {
    try spend(integer.digits.count)
    let digits = integer.description()
    guard digits.utf8.count - (integer.isNegative ? 1 : 0) <= 4300 else {
      throw fault("an integer has more than 4300 digits")
    }
    return digits
  }

  /// The value as HTML.
  func escaped(_ value: Value) throws(TemplateError) -> Value {
    if value.isMarkup { return value }
    let string = try string(value)
    var result = String.UnicodeScalarView()
    for scalar in string.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "'": result.append(contentsOf: "&#39;".unicodeScalars)
      case "\"": result.append(contentsOf: "&#34;".unicodeScalars)
      default: result.append(scalar)
      }
    }
    return try text(String(result), isMarkup: true)
  }
}

extension Double {
  /// The shortest digits that are read back as the number, as Python writes them.
  var pythonDescription: String {
    if isNaN { return "nan" }
    if isInfinite { return self < 0 ? "-inf" : "inf" }
    return String(describing: self)
  }
}

extension String {
  /// The string between quotes, with escapes where Python writes them.
  var pythonQuoted: String {
    let scalars = unicodeScalars
    let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
    var result = String.UnicodeScalarView()
    result.append(quote)
    for scalar in scalars {
      switch scalar {
      case quote, "\\": result.append(contentsOf: ["\\", scalar])
      case "\n": result.append(contentsOf: ["\\", "n"])
      case "\r": result.append(contentsOf: ["\\", "r"])
      case "\t": result.append(contentsOf: ["\\", "t"])
      case _ where scalar.isPrintable: result.append(scalar)
      default:
        let (letter, digits) =
          scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
        result.append(contentsOf: "\\\(letter)\(scalar.hexadecimal(digits))".unicodeScalars)
      }
    }
    result.append(quote)
    return String(result)
  }
}

extension Unicode.Scalar {
  /// The code in at least `digits` digits.
  func hexadecimal(_ digits: Int) -> String {
    let string = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - string.count)) + string
  }

  /// Whether Python writes the scalar as it is.
  var isPrintable: Bool {
    if self == " " { return true }
    return switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      false
    default: true
    }
  }
}
