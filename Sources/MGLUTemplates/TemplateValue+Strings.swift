extension TemplateValue {
  /// The value as a template writes it: Python's `str`.
  var string: String {
    switch self {
    case .undefined: ""
    case .string(let string): string
    default: representation
    }
  }

  /// The value as it stands in a list that is written: Python's `repr`.
  private var representation: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .boolean(let value): value ? "True" : "False"
    case .integer(let value): String(value)
    case .real(let value): String(describing: value)
    case .string(let string): Self.quoted(string)
    case .list(let values): "[" + values.map(\.representation).joined(separator: ", ") + "]"
    case .mapping(let values):
      "{"
        + values.map { "\(Self.quoted($0.key)): \($0.value.representation)" }
        .joined(separator: ", ") + "}"
    case .namespace: "<Namespace>"
    case .macro: "<Macro>"
    case .function(let function): "<function \(function.rawValue)>"
    }
  }

  private static func quoted(_ string: String) -> String {
    let scalars = string.unicodeScalars
    let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
    var result = String(quote)
    for scalar in scalars {
      switch scalar {
      case quote, "\\": result += "\\" + String(scalar)
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 32 || scalar.value == 127:
        result += "\\x" + hexadecimal(scalar, digits: 2)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + String(quote)
  }

  private static func hexadecimal(_ scalar: Unicode.Scalar, digits: Int) -> String {
    let string = String(scalar.value, radix: 16)
    return String(repeating: "0", count: max(0, digits - string.count)) + string
  }

  /// The value as JSON, laid out as Python's `json.dumps` does it, with every character as it is;
  /// `nil` where a value has no JSON.
  func json(indent: Int?, depth: Int = 0) -> String? {
    func joined(_ parts: [String?], _ open: String, _ close: String) -> String? {
      let found = parts.compactMap(\.self)
      guard found.count == parts.count else { return nil }
      guard let indent, !parts.isEmpty else {
        return open + found.joined(separator: ", ") + close
      }
      let edge = "\n" + String(repeating: " ", count: indent * depth)
      let inner = edge + String(repeating: " ", count: indent)
      return open + inner + found.joined(separator: "," + inner) + edge + close
    }
    switch self {
    case .none: return "null"
    case .boolean(let value): return value ? "true" : "false"
    case .integer, .real: return representation
    case .string(let string): return Self.quotedJSON(string)
    case .list(let values):
      return joined(values.map { $0.json(indent: indent, depth: depth + 1) }, "[", "]")
    case .mapping(let values):
      let parts = values.map { key, value in
        value.json(indent: indent, depth: depth + 1).map { Self.quotedJSON(key) + ": " + $0 }
      }
      return joined(parts, "{", "}")
    case .undefined, .namespace, .macro, .function: return nil
    }
  }

  private static func quotedJSON(_ string: String) -> String {
    var result = "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\" + String(scalar)
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\u{8}": result += "\\b"
      case "\u{c}": result += "\\f"
      case _ where scalar.value < 32: result += "\\u" + hexadecimal(scalar, digits: 4)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
