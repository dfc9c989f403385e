extension TemplateEvaluator {
  /// `html` with links in place of addresses, as Jinja finds them.
  func urlized(_ html: String, _ given: FilterArguments) throws(TemplateError) -> String {
    let limit = if case .none? = given[0] { nil as Int? } else { given[0]?.index }
    var rel = Set(try optionalString(given[3])?.words() ?? [])
    if given.isOn(1) { rel.insert("nofollow") }
    rel.insert("noopener")
    let target = try optionalString(given[2])
    var schemes: [String] = []
    if let extra = given[4], extra.isDefined {
      if case .none = extra {
      } else {
        for scheme in try elements(of: extra) { schemes.append(try string(scheme)) }
      }
    }
    let relText = " rel=\"\(try escapedString(rel.sorted().joined(separator: " ")))\""
    let targetText =
      try target.map { name throws(TemplateError) in
        " target=\"\(try escapedString(name))\""
      } ?? ""
    func trimmed(_ url: String) -> String {
      guard let limit, url.unicodeScalars.count > limit else { return url }
      return String(url.unicodeScalars.prefix(max(0, limit))) + "..."
    }
    try spend(html.utf8.count / 8)
    var result = ""
    for part in html.partsWithBlanks {
      let (head, middle, tail) = Self.balanced(part)
      let rest = relText + targetText
      if middle.isWebAddress {
        let scheme = middle.hasPrefix("https://") || middle.hasPrefix("http://") ? "" : "https://"
        result += "\(head)<a href=\"\(scheme)\(middle)\"\(rest)>\(trimmed(middle))</a>\(tail)"
      } else if middle.hasPrefix("mailto:"), String(middle.dropFirst(7)).isMailAddress {
        result += "\(head)<a href=\"\(middle)\">\(middle.dropFirst(7))</a>\(tail)"
      } else if middle.contains("@"), !middle.hasPrefix("www."), !middle.contains(":"),
        !middle.hasPrefix("@"), middle.isMailAddress
      {
        result += "\(head)<a href=\"mailto:\(middle)\">\(middle)</a>\(tail)"
      } else if schemes.contains(where: { middle != $0 && middle.hasPrefix($0) }) {
        result += "\(head)<a href=\"\(middle)\"\(rest)>\(middle)</a>\(tail)"
      } else {
        result += part
      }
    }
    return result
  }

  private func escapedString(_ string: String) throws(TemplateError) -> String {
    try escaped(try text(string)).text ?? ""
  }

  /// A word without the brackets and marks around it.
  private static func balanced(_ word: String) -> (head: String, middle: String, tail: String) {
    var (head, middle, tail) = ("", word, "")
    let openings = ["(", "<", "&lt;"]
    while let opening = openings.first(where: { middle.hasPrefix($0) }) {
      head += opening
      middle.removeFirst(opening.count)
    }
    let closings = [")", ">", ".", ",", "\n", "&gt;"]
    while let closing = closings.first(where: { middle.hasSuffix($0) }) {
      tail = closing + tail
      middle.removeLast(closing.count)
    }
    for (opening, closing) in [("(", ")"), ("<", ">"), ("&lt;", "&gt;")] {
      let opened = middle.parts(between: opening).count - 1
      guard opened > middle.parts(between: closing).count - 1 else { continue }
      for _ in 0..<min(opened, tail.parts(between: closing).count - 1) {
        guard let range = tail.utf8.firstRange(of: closing) else { break }
        middle += tail[..<range.upperBound]
        tail = String(tail[range.upperBound...])
      }
    }
    return (head, middle, tail)
  }
}

extension String {
  /// Words and the blanks between, in turn.
  fileprivate var partsWithBlanks: [String] {
    var (parts, rest) = ([String](), unicodeScalars[...])
    while let first = rest.first {
      let part = rest.prefix { $0.isBlank == first.isBlank }
      parts.append(String(part))
      rest = rest[part.endIndex...]
    }
    return parts
  }

  fileprivate var isMailAddress: Bool {
    let sides = parts(between: "@")
    guard sides.count == 2, let first = sides[0].unicodeScalars.first, first.isWordPart,
      let dot = sides[1].lastIndex(of: ".")
    else { return false }
    return !sides[1][..<dot].isEmpty && sides[1][sides[1].index(after: dot)...].count > 1
      && sides[1].unicodeScalars.allSatisfy { $0.isWordPart || $0 == "." || $0 == "-" }
  }

  /// Whether the word is an address of the web, with a scheme or without.
  fileprivate var isWebAddress: Bool {
    var host = self
    let scheme = ["https://", "http://"].first { hasPrefix($0) }
    if let scheme { host.removeFirst(scheme.count) }
    let isLocal = host.begins(with: "localhost")
    let end = host.firstIndex { "/?#".contains($0) } ?? host.endIndex
    var name = String(host[..<end])
    if let colon = name.lastIndex(of: ":") {
      guard name[name.index(after: colon)...].allSatisfy(\.isNumber) else { return false }
      name = String(name[..<colon])
    }
    if scheme != nil {
      guard !name.isEmpty else { return false }
      return isLocal
        || name.unicodeScalars.allSatisfy { $0.isWordPart || "-.%".unicodeScalars.contains($0) }
          && (name.contains(".") || name == "localhost")
    }
    let labels = name.parts(between: ".")
    guard labels.count > 1, labels.allSatisfy({ !$0.isEmpty }),
      name.unicodeScalars.allSatisfy({ $0.isWordPart || "-.%".unicodeScalars.contains($0) })
    else { return false }
    if labels[0] == "www" { return labels.count > 1 }
    return ["com", "net", "int", "edu", "gov", "org", "info", "mil"].contains(labels.last ?? "")
  }
}
