extension TemplateEvaluator {
  /// The filter `tojson`: Python's `json.dumps`, with characters as they are unless `ensure_ascii`.
  func json(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    var writer = JSONWriter(evaluator: self)
    writer.isASCII = given.isOn(0)
    writer.isSorted = given.isOn(3)
    switch given[1] {
    case nil, Value.none?: break
    case .string(let text)?: writer.indent = text.string
    case let indent?:
      guard let count = indent.index else { throw fault("tojson: an indent of \(indent.kind)") }
      writer.indent = try operate(.multiply, try text(" "), .integer(max(count, 0))).text
    }
    if writer.indent != nil { writer.between = "," }
    switch given[2] {
    case nil, Value.none?: break
    case let separators?:
      let parts = try elements(of: separators)
      guard parts.count == 2, let between = parts[0].text, let colon = parts[1].text else {
        throw fault("tojson: separators are two strings")
      }
      (writer.between, writer.colon) = (between, colon)
    }
    try writer.write(value, depth: 0)
    return try text(writer.result)
  }
}

private struct JSONWriter {
  let evaluator: TemplateEvaluator
  var isASCII = false
  var isSorted = false
  var indent: String?
  var between = ", "
  var colon = ": "
  var result = ""

  private mutating func append(_ part: String) throws(TemplateError) {
    try evaluator.spend(1)
    try evaluator.require(bytes: result.utf8.count + part.utf8.count, new: part.utf8.count)
    result += part
  }

  private mutating func newLine(depth: Int) throws(TemplateError) {
    guard let indent else { return }
    let (bytes, overflows) = indent.utf8.count.multipliedReportingOverflow(by: depth)
    try evaluator.require(bytes: overflows ? .max : bytes)
    try append("\n" + String(repeating: indent, count: depth))
  }

  mutating func write(_ value: Value, depth: Int) throws(TemplateError) {
    switch value {
    case .none: try append("null")
    case .boolean(let value): try append(value ? "true" : "false")
    case .integer, .big: try append(try evaluator.string(value))
    case .real(let value): try append(Self.number(value))
    case .string(let text): try append(quoted(text.string))
    case .list(let values), .tuple(let values):
      guard !values.elements.isEmpty else { return try append("[]") }
      try append("[")
      for (index, value) in values.elements.enumerated() {
        if index > 0 { try append(between) }
        try newLine(depth: depth + 1)
        try write(value, depth: depth + 1)
      }
      try newLine(depth: depth)
      try append("]")
    case .mapping(let mapping): try write(mapping, depth: depth)
    default: throw evaluator.fault("tojson of \(evaluator.described(value))")
    }
  }

  private mutating func write(_ mapping: Mapping, depth: Int) throws(TemplateError) {
    guard !mapping.entries.isEmpty else { return try append("{}") }
    var entries = mapping.entries.map { ($0.key.value, $0.value) }
    if isSorted {
      let source = Value.object(MappingView(.items, of: mapping))
      let sorted = try evaluator.apply(
        "sort", to: source,
        .init(named: [("attribute", .integer(0)), ("case_sensitive", .boolean(true))]))
      entries = try evaluator.elements(of: sorted).compactMap { pair in
        guard case .tuple(let pair) = pair else { return nil }
        return (pair.elements[0], pair.elements[1])
      }
    }
    try append("{")
    for (index, (key, value)) in entries.enumerated() {
      if index > 0 { try append(between) }
      try newLine(depth: depth + 1)
      switch key {
      case .string(let text): try append(quoted(text.string))
      case .none: try append("\"null\"")
      case .boolean(let value): try append(value ? "\"true\"" : "\"false\"")
      case .integer, .big: try append("\"\(try evaluator.string(key))\"")
      case .real(let value): try append("\"\(Self.number(value))\"")
      default: throw evaluator.fault("tojson: \(key.kind) as a key")
      }
      try append(colon)
      try write(value, depth: depth + 1)
    }
    try newLine(depth: depth)
    try append("}")
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    return value.pythonDescription
  }

  private func quoted(_ string: String) -> String {
    var result = String.UnicodeScalarView()
    result.append("\"")
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"", "\\": result.append(contentsOf: ["\\", scalar])
      case "\n": result.append(contentsOf: ["\\", "n"])
      case "\r": result.append(contentsOf: ["\\", "r"])
      case "\t": result.append(contentsOf: ["\\", "t"])
      case "\u{8}": result.append(contentsOf: ["\\", "b"])
      case "\u{c}": result.append(contentsOf: ["\\", "f"])
      case _ where scalar.value < 32 || isASCII && scalar.value > 126:
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16)
          let zeros = String(repeating: "0", count: 4 - digits.count)
          result.append(contentsOf: "\\u\(zeros)\(digits)".unicodeScalars)
        }
      default: result.append(scalar)
      }
    }
    result.append("\"")
    return String(result)
  }
}
