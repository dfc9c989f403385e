import OrderedCollections

/// Functions that values have in Python.
enum TemplateMethod: String {
  case strip
  case lstrip
  case rstrip
  case startswith
  case endswith
  case split
  case upper
  case lower
  case title
  case capitalize
  case replace
  case find
  case count
  case join
  case items
  case keys
  case values
  case get

  /// The function `name` of `value`, if it has one that is understood.
  init?(_ name: String, of value: TemplateValue) {
    guard let method = Self(rawValue: name) else { return nil }
    let isOfMapping = [.items, .keys, .values, .get].contains(method)
    switch value {
    case .text where !isOfMapping, .mapping where isOfMapping: self = method
    default: return nil
    }
  }

  fileprivate var parameters: [String] {
    switch self {
    case .strip, .lstrip, .rstrip: ["chars"]
    case .startswith, .endswith, .find, .count: ["part"]
    case .split: ["sep", "maxsplit"]
    case .replace: ["old", "new", "count"]
    case .join: ["parts"]
    case .get: ["key", "default"]
    default: []
    }
  }
}

extension TemplateEvaluator {
  /// What `method` of `value` makes of its arguments.
  func call(
    _ method: TemplateMethod, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let given = try arguments.bound(to: method.parameters, of: method.rawValue, in: self)
    switch value {
    case .text(let text): return try call(method, text, given)
    case .mapping(let values):
      switch method {
      case .items: return .list(values.map { .list([.text($0.key), $0.value]) })
      case .keys: return .list(values.keys.map(TemplateValue.text))
      case .values: return .list(Array(values.values))
      default:
        let standard = given[1] ?? .none
        guard case .text(let key)? = given[0] else { return standard }
        return values[key] ?? standard
      }
    default: throw fault("\(value.kind) has no function \(method.rawValue)")
    }
  }

  private func call(
    _ method: TemplateMethod, _ text: String, _ given: [TemplateValue?]
  ) throws(TemplateError) -> TemplateValue {
    switch method {
    case .strip, .lstrip, .rstrip:
      return .text(
        text.stripped(
          of: try optionalText(given[0]), start: method != .rstrip, end: method != .lstrip))
    case .startswith, .endswith:
      // A list of texts is any of them.
      let parts: [TemplateValue?] =
        if case .list(let values)? = given[0] { values } else { [given[0]] }
      for part in parts {
        let part = try self.text(part, of: method.rawValue)
        if method == .startswith ? text.begins(with: part) : text.ends(with: part) {
          return .boolean(true)
        }
      }
      return .boolean(false)
    case .split:
      let limit = given[1]?.integer ?? -1
      let most = limit < 0 ? Int.max : limit
      guard let separator = try optionalText(given[0]) else {
        return .list(text.words(limit: most).map(TemplateValue.text))
      }
      guard !separator.isEmpty else { throw fault("split between empty texts") }
      return .list(text.parts(between: separator, limit: most).map(TemplateValue.text))
    case .upper: return .text(text.uppercased())
    case .lower: return .text(text.lowercased())
    case .title: return .text(text.titled { !$0.properties.isAlphabetic })
    case .capitalize: return .text(text.capitalized)
    case .replace: return .text(try replaced(text, given))
    case .find:
      let part = try self.text(given[0], of: "find")
      let range = text.utf8.firstRange(of: part)
      return .integer(range.map { text.unicodeScalars[..<$0.lowerBound].count } ?? -1)
    case .count:
      let part = try self.text(given[0], of: "count")
      guard !part.isEmpty else { return .integer(text.unicodeScalars.count + 1) }
      return .integer(text.parts(between: part).count - 1)
    case .join:
      guard let parts = given[0]?.elements else { throw fault("join: expected a list") }
      var texts: [String] = []
      for part in parts { texts.append(try self.text(part, of: "join")) }
      return .text(try joined(texts, by: text))
    case .items, .keys, .values, .get: throw fault("a text has no \(method.rawValue)")
    }
  }

  /// `text` with its second argument in place of its first.
  func replaced(_ text: String, _ given: [TemplateValue?]) throws(TemplateError) -> String {
    let limit = given[2]?.integer ?? -1
    let most = limit < 0 ? Int.max : limit
    let (old, new) = (
      try self.text(given[0], of: "replace"), try self.text(given[1], of: "replace")
    )
    if old.isEmpty {
      try require(bytes: (text.utf8.count + 1) * new.utf8.count)
      return text.replacingNothing(by: new, limit: most)
    }
    return try joined(text.parts(between: old, limit: most), by: new)
  }

  /// `texts` with `separator` between.
  func joined(_ texts: [String], by separator: String) throws(TemplateError) -> String {
    try require(
      bytes: texts.count * separator.utf8.count + texts.reduce(0) { $0 + $1.utf8.count })
    return texts.joined(separator: separator)
  }

  private func text(
    _ value: TemplateValue?, of callee: String
  ) throws(TemplateError) -> String {
    guard case .text(let text)? = value else {
      throw fault("\(callee): \(value?.kind ?? "nothing"), expected a text")
    }
    return text
  }

  private func optionalText(_ value: TemplateValue?) throws(TemplateError) -> String? {
    if case nil = value { return nil }
    if case TemplateValue.none? = value { return nil }
    return try text(value, of: "the separator")
  }
}
