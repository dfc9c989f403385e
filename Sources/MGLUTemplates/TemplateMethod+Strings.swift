extension TemplateEvaluator {
  /// The result of a method of a string.
  func call(
    _ name: String, _ text: Text, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    let string = text.string
    try require(bytes: string.utf8.count)
    func kept(_ string: String) throws(TemplateError) -> Value {
      try self.text(string, isMarkup: text.isMarkup)
    }
    switch name {
    case "format", "format_map": return try kept(try formatted(text, name, arguments))
    case "split", "rsplit", "splitlines", "partition", "rpartition":
      return try split(name, text, arguments)
    case "find", "rfind", "index", "rindex", "count", "startswith", "endswith":
      return try search(name, string, arguments)
    case "center", "ljust", "rjust":
      let given = try bind(arguments, to: ["width", "fillchar"], required: 1, of: name)
      let fill =
        try given[1].map { value throws(TemplateError) in
          try required(value, name)
        } ?? " "
      return try kept(
        try padded(
          string, given[0] ?? .none, with: fill,
          by: name == "center" ? .center : name == "ljust" ? .left : .right))
    case "zfill":
      let given = try bind(arguments, to: ["width"], required: 1, of: name)
      let hasSign = string.hasPrefix("-") || string.hasPrefix("+")
      guard let width = given[0]?.index else { throw fault("zfill to \(given[0]?.kind ?? "")") }
      let digits = hasSign ? String(string.unicodeScalars.dropFirst()) : string
      let filled = try padded(
        digits, .integer(hasSign ? width - 1 : width), with: "0", by: .right)
      return try kept((hasSign ? String(string.prefix(1)) : "") + filled)
    case "expandtabs":
      let size = try bind(arguments, to: ["tabsize"], of: name)[0]?.index ?? 8
      try require(bytes: string.utf8.count * min(max(size, 1), Self.mostBytes))
      return try kept(string.expandingTabs(to: size))
    case "strip", "lstrip", "rstrip":
      let given = try bind(arguments, to: ["chars"], of: name)
      return try kept(
        string.stripped(
          of: try optionalString(given[0]), start: name != "rstrip", end: name != "lstrip"))
    case "removeprefix", "removesuffix":
      let given = try bind(arguments, to: ["affix"], required: 1, of: name)
      let affix = try required(given[0], name)
      if name == "removeprefix", string.begins(with: affix) {
        return try kept(String(Substring(string.utf8.dropFirst(affix.utf8.count))))
      }
      if name == "removesuffix", string.ends(with: affix) {
        return try kept(String(Substring(string.utf8.dropLast(affix.utf8.count))))
      }
      return try kept(string)
    case "replace":
      let given = try bind(arguments, to: ["old", "new", "count"], required: 2, of: name)
      let new = text.isMarkup ? try escaped(given[1] ?? .none) : given[1]
      guard let limit = (given[2] ?? .integer(-1)).index else { throw fault("replace: no count") }
      return try kept(
        try replaced(string, try required(given[0], name), try required(new, name), limit: limit))
    case "join":
      let given = try bind(arguments, to: ["iterable"], required: 1, of: name)
      var parts: [String] = []
      for part in try elements(of: given[0] ?? .none) {
        parts.append(
          text.isMarkup ? try escaped(part).text ?? "" : try required(part, name))
      }
      return try kept(try joined(parts, by: string))
    case "translate": return try kept(try translated(string, arguments))
    default: break
    }
    _ = try bind(arguments, to: [], of: name)
    switch name {
    case "upper": return try kept(string.uppercased())
    case "lower": return try kept(string.pythonLowercased)
    case "title": return try kept(string.pythonTitle)
    case "capitalize": return try kept(string.pythonCapitalized)
    case "casefold": return try kept(string.caseFolded)
    case "swapcase": return try kept(string.swappingCase)
    default: return .boolean(string.has(property: name))
    }
  }

  private func required(_ value: Value?, _ callee: String) throws(TemplateError) -> String {
    guard let string = value?.text else {
      throw fault("\(callee): \(value.map(described) ?? "nothing"), expected a string")
    }
    return string
  }

  enum Padding {
    case left
    case right
    case center
  }

  /// `string` with `fill` around it, to `width` scalars; `.left` is a string at the left.
  func padded(
    _ string: String, _ width: Value, with fill: String, by padding: Padding
  ) throws(TemplateError) -> String {
    guard let width = width.index else { throw fault("a width of \(described(width))") }
    guard fill.unicodeScalars.count == 1 else { throw fault("expected one character to fill with") }
    let missing = width.subtractingReportingOverflow(string.unicodeScalars.count).partialValue
    guard width > 0, missing > 0 else { return string }
    let (bytes, overflows) = missing.multipliedReportingOverflow(by: fill.utf8.count)
    try require(bytes: overflows ? .max : bytes)
    let left =
      switch padding {
      case .left: 0
      case .right: missing
      case .center: missing / 2 + (missing & width & 1)
      }
    return String(repeating: fill, count: left) + string
      + String(repeating: fill, count: missing - left)
  }

  private func split(
    _ name: String, _ text: Text, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    let string = text.string
    func values(_ parts: [String]) throws(TemplateError) -> [Value] {
      try require(elements: parts.count)
      var result: [Value] = []
      for part in parts { result.append(try self.text(part, isMarkup: text.isMarkup)) }
      return result
    }
    switch name {
    case "splitlines":
      let given = try bind(arguments, to: ["keepends"], of: name)
      return try list(try values(string.pythonLines(keepsEnds: given[0]?.isTrue == true)))
    case "partition", "rpartition":
      let given = try bind(arguments, to: ["sep"], required: 1, of: name)
      let separator = try required(given[0], name)
      guard !separator.isEmpty else { throw fault("\(name) at an empty string") }
      let isFirst = name == "partition"
      let parts =
        isFirst
        ? string.parts(between: separator, limit: 1)
        : string.partsFromEnd(between: separator, limit: 1)
      if parts.count == 2 { return try tuple(try values([parts[0], separator, parts[1]])) }
      return try tuple(try values(isFirst ? [string, "", ""] : ["", "", string]))
    default: break
    }
    let given = try bind(arguments, to: ["sep", "maxsplit"], of: name)
    guard let limit = (given[1] ?? .integer(-1)).index else {
      throw fault("\(name) at most \(given[1]?.kind ?? "") times")
    }
    let most = min(limit < 0 ? Int.max : limit, Self.mostElements)
    guard let separator = try optionalString(given[0]) else {
      return try list(
        try values(name == "split" ? string.words(limit: most) : string.wordsFromEnd(limit: most)))
    }
    guard !separator.isEmpty else { throw fault("\(name) at an empty string") }
    let parts =
      name == "split"
      ? string.parts(between: separator, limit: most)
      : string.partsFromEnd(between: separator, limit: most)
    return try list(try values(parts))
  }

  private func search(
    _ name: String, _ string: String, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    guard arguments.named.isEmpty else { throw fault("\(name) takes no names") }
    let given = try bind(arguments, to: ["part", "start", "end"], required: 1, of: name)
    let scalars = string.unicodeScalars
    var (part, start) = (string, 0)
    let isWhole = given[1] == nil && given[2] == nil
    var isBeyond = false
    if !isWhole {
      let count = scalars.count
      func bound(_ value: Value?, _ standard: Int) throws(TemplateError) -> Int {
        guard let value else { return standard }
        if case .none = value { return standard }
        guard let index = value.index else { throw fault("\(name) from \(value.kind)") }
        return max(0, index < 0 ? max(index, -count) + count : index)
      }
      start = try bound(given[1], 0)
      let end = min(try bound(given[2], count), count)
      isBeyond = start > count || start > end
      part =
        isBeyond
        ? "" : String(String.UnicodeScalarView(scalars.dropFirst(start).prefix(end - start)))
    }
    if name == "startswith" || name == "endswith" {
      // A tuple of strings stands for any of them.
      let parts: [Value?] =
        if case .tuple(let values)? = given[0] { values.elements } else { [given[0]] }
      for affix in parts {
        let affix = try required(affix, name)
        if !isBeyond, name == "startswith" ? part.begins(with: affix) : part.ends(with: affix) {
          return .boolean(true)
        }
      }
      return .boolean(false)
    }
    let sought = try required(given[0], name)
    if name == "count" {
      if isBeyond { return .integer(0) }
      guard !sought.isEmpty else { return .integer(part.unicodeScalars.count + 1) }
      return .integer(part.occurrences(of: sought))
    }
    let place = isBeyond ? nil : part.place(of: sought, last: name.hasPrefix("r"))
    guard let place else {
      guard name.hasSuffix("find") else { throw fault("\(name): the string has no such part") }
      return .integer(-1)
    }
    return .integer(start + place)
  }

  private func translated(
    _ string: String, _ arguments: TemplateArguments
  ) throws(TemplateError) -> String {
    let given = try bind(arguments, to: ["table"], required: 1, of: "translate")
    var result = ""
    for scalar in string.unicodeScalars {
      let found = try item(.integer(Int(scalar.value)), of: given[0] ?? .none)
      try spend(1)
      switch found {
      case .undefined: result.unicodeScalars.append(scalar)
      case .none: break
      case .string(let text): result += text.string
      default:
        guard let code = found.index.flatMap({ UInt32(exactly: $0) }),
          let scalar = Unicode.Scalar(code)
        else { throw fault("translate to \(found.kind)") }
        result.unicodeScalars.append(scalar)
      }
      try require(bytes: result.utf8.count, new: 1)
    }
    return result
  }
}
