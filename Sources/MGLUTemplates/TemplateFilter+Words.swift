extension TemplateEvaluator {
  /// Filters of strings; other values are written first.
  func words(
    _ filter: TemplateFilter, _ value: Value, _ given: FilterArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .join: return try join(value, given)
    case .truncate: return try truncate(value, given)
    case .replace: return try replace(value, given)
    case .pprint: return try text(try pretty(value))
    case .indent, .wordwrap:
      guard value.text != nil else { throw fault("\(filter.rawValue) of \(described(value))") }
    default: break
    }
    let string = try string(value)
    try require(bytes: string.utf8.count)
    func kept(_ result: String) throws(TemplateError) -> Value {
      try text(result, isMarkup: value.isMarkup)
    }
    switch filter {
    case .capitalize: return try kept(string.pythonCapitalized)
    case .lower: return try kept(string.pythonLowercased)
    case .upper: return try kept(string.uppercased())
    case .center:
      return try kept(try padded(string, (given[0] ?? .integer(80)), with: " ", by: .center))
    case .title: return try text(string.jinjaTitle)
    case .trim: return try kept(string.stripped(of: try optionalString(given[0])))
    case .wordcount: return .integer(string.wordCount)
    case .indent: return try indent(string, value.isMarkup, given)
    default: return try wrap(string, given)
    }
  }

  /// The text of an argument that may be none or missing.
  func optionalString(_ value: Value?) throws(TemplateError) -> String? {
    switch value {
    case nil, Value.none?: return nil
    case .string(let text)?: return text.string
    case let value?: throw fault("\(described(value)), expected a string")
    }
  }

  private func join(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let separator = given[0] ?? .string(Text("", isMarkup: false, in: memory))
    let values = try iterator(value)
    guard autoescape else {
      let between = try string(separator)
      var (result, isFirst) = ("", true)
      while let next = try values.next() {
        try spend(1)
        let part = try string(try self.part(given[1], of: next))
        if !isFirst { result += between }
        isFirst = false
        try require(
          bytes: result.utf8.count + part.utf8.count, new: part.utf8.count + between.utf8.count)
        result += part
      }
      return try text(result)
    }
    var parts: [Value] = []
    while let next = try values.next() {
      parts.append(try part(given[1], of: next))
      try require(elements: parts.count / 64)
    }
    let isMarkup = separator.isMarkup || parts.contains(where: \.isMarkup)
    var strings: [String] = []
    for part in parts {
      strings.append(isMarkup ? try escaped(part).text ?? "" : try string(part))
    }
    let between = isMarkup ? try escaped(separator).text ?? "" : try string(separator)
    return try text(try joined(strings, by: between), isMarkup: isMarkup)
  }

  /// `strings` with `separator` between.
  func joined(_ strings: [String], by separator: String) throws(TemplateError) -> String {
    var bytes = 0
    for string in strings { bytes += string.utf8.count + separator.utf8.count }
    try require(bytes: bytes)
    return strings.joined(separator: separator)
  }

  private func replace(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let limit = if case .none? = given[2] { -1 } else { given[2]?.index ?? -1 }
    let (old, new) = (given[0] ?? .none, given[1] ?? .none)
    guard autoescape else {
      return try text(
        try replaced(try string(value), try string(old), try string(new), limit: limit))
    }
    let isMarkup = value.isMarkup || old.isMarkup || new.isMarkup
    let whole = isMarkup ? try escaped(value) : value
    let by = value.isMarkup || isMarkup ? try escaped(new) : new
    return try text(
      try replaced(try string(whole), try string(old), try string(by), limit: limit),
      isMarkup: isMarkup)
  }

  /// `string` with `new` in place of `old`, at most `limit` times if that is not negative.
  func replaced(
    _ string: String, _ old: String, _ new: String, limit: Int
  ) throws(TemplateError) -> String {
    let most = limit < 0 ? Int.max : limit
    if old.isEmpty {
      let count = min(string.unicodeScalars.count + 1, most)
      try require(bytes: string.utf8.count)
      let (bytes, overflows) = count.multipliedReportingOverflow(by: new.utf8.count)
      try require(bytes: overflows ? .max : bytes + string.utf8.count)
      return string.replacingNothing(by: new, limit: most)
    }
    try require(bytes: string.utf8.count)
    return try joined(try parts(of: string, between: old, limit: most), by: new)
  }

  /// The parts between occurrences of `separator`.
  func parts(
    of string: String, between separator: String, limit: Int
  ) throws(TemplateError) -> [String] {
    let parts = string.parts(between: separator, limit: min(limit, Self.mostElements))
    try require(elements: limit > Self.mostElements ? parts.count : 0)
    return parts
  }

  private func indent(
    _ string: String, _ isMarkup: Bool, _ given: FilterArguments
  ) throws(TemplateError) -> Value {
    let blanks: String
    if case .string(let text)? = given[0] {
      blanks = isMarkup ? try escaped(.string(text)).text ?? "" : text.string
    } else {
      let count = given[0] ?? .integer(4)
      blanks = try text(of: try repeated(" ", count, "an indent"))
    }
    let (first, blank) = (given.isOn(1), given.isOn(2))
    let lines = (string + "\n").pythonLines()
    try require(elements: lines.count)
    let (bytes, overflows) = lines.count.multipliedReportingOverflow(by: blanks.utf8.count)
    try require(bytes: overflows ? .max : bytes + string.utf8.count)
    let result = lines.enumerated().map { index, line in
      (index == 0 ? first : blank || !line.isEmpty) ? blanks + line : line
    }
    return try text(result.joined(separator: "\n"), isMarkup: isMarkup)
  }

  private func text(of value: Value) throws(TemplateError) -> String { value.text ?? "" }

  private func repeated(
    _ string: String, _ count: Value, _ what: String
  ) throws(TemplateError) -> Value {
    guard let count = count.index else { throw fault("\(what) of \(count.kind)") }
    return try operate(.multiply, try text(string), .integer(count))
  }

  private func truncate(_ value: Value, _ given: FilterArguments) throws(TemplateError) -> Value {
    let length = (given[0] ?? .integer(255)).index ?? 0
    let end = try given[2].map(string) ?? "..."
    let leeway = if case .none? = given[3] { 5 } else { given[3]?.index ?? 5 }
    let endCount = end.unicodeScalars.count
    guard length >= endCount, leeway >= 0 else {
      throw fault("truncate to \(length), with \(end) at the end")
    }
    guard let count = try self.length(of: value) else { throw fault("truncate of \(value.kind)") }
    if length > Int.max - leeway || count <= length + leeway { return value }
    guard case .string(let text) = value else { throw fault("truncate of \(value.kind)") }
    let part = String(text.string.unicodeScalars.prefix(length - endCount))
    let kept = given.isOn(1) ? part : part.partsFromEnd(between: " ", limit: 1)[0]
    let isMarkup = text.isMarkup
    let ending = isMarkup ? try escaped(given[2] ?? .none) : nil
    return try self.text(
      kept + (given[2] == nil ? "..." : ending?.text ?? end), isMarkup: isMarkup)
  }

  private func wrap(_ string: String, _ given: FilterArguments) throws(TemplateError) -> Value {
    let width = (given[0] ?? .integer(79)).index ?? 0
    guard width > 0 else { throw fault("wordwrap to a width of \(width)") }
    let between: String = try optionalString(given[2]) ?? "\n"
    let breaksWords = given[1].map(\.isTrue) ?? true
    let breaksHyphens = given[3].map(\.isTrue) ?? true
    try spend(string.utf8.count / 8)
    var lines: [String] = []
    for line in string.pythonLines() {
      let wrapped = line.wrapped(
        to: width, breaksWords: breaksWords, breaksHyphens: breaksHyphens)
      lines.append(wrapped.joined(separator: between))
    }
    return try text(try joined(lines, by: between))
  }
}
