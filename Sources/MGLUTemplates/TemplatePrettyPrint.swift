extension TemplateEvaluator {
  /// The filter `pprint`: Python's `repr`, in lines of at most 80 scalars, with keys in order.
  func pretty(_ value: Value) throws(TemplateError) -> String {
    try pretty(value, indent: 0, room: 0)
  }

  /// The text of a value that begins in column `indent`, with `room` scalars to follow it.
  private func pretty(_ value: Value, indent: Int, room: Int) throws(TemplateError) -> String {
    try spend(1)
    let sorted = try inOrder(value)
    let flat = try representation(sorted)
    guard flat.unicodeScalars.count > 80 - indent - room else { return flat }
    switch sorted {
    case .list(let values):
      return "[" + (try lines(values.elements, indent: indent + 1, room: room + 1)) + "]"
    case .tuple(let values):
      let end = values.elements.count == 1 ? ",)" : ")"
      return "(" + (try lines(values.elements, indent: indent + 1, room: room + end.count)) + end
    case .mapping(let mapping):
      var parts: [String] = []
      let last = mapping.entries.count - 1
      for (index, (key, value)) in mapping.entries.elements.enumerated() {
        let name = try representation(key.value)
        let text = try pretty(
          value, indent: indent + name.unicodeScalars.count + 3, room: index == last ? room + 1 : 1)
        parts.append("\(name): \(text)")
      }
      let between = ",\n" + String(repeating: " ", count: min(indent + 1, Self.mostBytes))
      return "{" + (try joined(parts, by: between)) + "}"
    // Only Python's own strings are broken.
    case .string(let text) where !text.isMarkup:
      return try pretty(text.string, indent: indent, room: room)
    default: return flat
    }
  }

  private func lines(_ values: [Value], indent: Int, room: Int) throws(TemplateError) -> String {
    var parts: [String] = []
    for (index, value) in values.enumerated() {
      parts.append(try pretty(value, indent: indent, room: index == values.count - 1 ? room : 1))
    }
    return try joined(parts, by: ",\n" + String(repeating: " ", count: indent))
  }

  /// A long string as several, one to a line, broken after blanks and ends of lines.
  private func pretty(_ string: String, indent: Int, room: Int) throws(TemplateError) -> String {
    var parts: [String] = []
    let isOutermost = indent == 0
    let indent = isOutermost ? 1 : indent
    let room = isOutermost ? room + 1 : room
    let lines = string.pythonLines(keepsEnds: true)
    for (index, line) in lines.enumerated() {
      let isLast = index == lines.count - 1
      let most = 80 - indent - (isLast ? room : 0)
      let flat = line.pythonQuoted
      if flat.unicodeScalars.count <= 80 - indent - (isLast ? room : 0) {
        parts.append(flat)
        continue
      }
      var current = ""
      let words = line.wordsWithBlanks
      for (place, word) in words.enumerated() {
        let candidate = (current + word).pythonQuoted
        let limit = place == words.count - 1 && isLast ? most : 80 - indent
        if candidate.unicodeScalars.count > limit {
          if !current.isEmpty { parts.append(current.pythonQuoted) }
          current = word
        } else {
          current += word
        }
        try spend(1 + current.utf8.count / 8)
      }
      if !current.isEmpty { parts.append(current.pythonQuoted) }
    }
    if parts.count == 1 { return parts[0] }
    let text = try joined(parts, by: "\n" + String(repeating: " ", count: indent))
    return isOutermost ? "(\(text))" : text
  }

  /// The value with the keys of its mappings in order.
  private func inOrder(_ value: Value) throws(TemplateError) -> Value {
    try spend(1)
    switch value {
    case .list(let values):
      var result: [Value] = []
      for value in values.elements { result.append(try inOrder(value)) }
      return try list(result)
    case .tuple(let values):
      var result: [Value] = []
      for value in values.elements { result.append(try inOrder(value)) }
      return try tuple(result)
    case .mapping(let mapping):
      let pairs = try apply(
        "dictsort", to: value, .init(named: [("case_sensitive", .boolean(true))]))
      var result = mapping.entries
      result.removeAll(keepingCapacity: true)
      for pair in try elements(of: pairs) {
        guard case .tuple(let pair) = pair else { continue }
        result[try key(pair.elements[0])] = try inOrder(pair.elements[1])
      }
      return try self.mapping(result)
    default: return value
    }
  }
}

extension String {
  /// Words, each with the blanks behind it.
  fileprivate var wordsWithBlanks: [String] {
    var (parts, rest) = ([String](), unicodeScalars[...])
    while !rest.isEmpty {
      let word = rest.prefix { !$0.isBlank }
      let blanks = rest[word.endIndex...].prefix(while: \.isBlank)
      parts.append(String(word) + String(blanks))
      rest = rest[blanks.endIndex...]
    }
    return parts
  }
}
