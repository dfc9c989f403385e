import OrderedCollections

/// Methods of Python's values.
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

  /// The method `name` of `value`, if this library has it.
  init?(_ name: String, of value: TemplateValue) {
    guard let method = Self(rawValue: name) else { return nil }
    let isOfMapping = [.items, .keys, .values, .get].contains(method)
    switch value {
    case .string where !isOfMapping, .mapping where isOfMapping: self = method
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
  /// The result of `method` of `value`.
  func call(
    _ method: TemplateMethod, _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    let given = try arguments.bound(to: method.parameters, of: method.rawValue, in: self)
    switch value {
    case .string(let string): return try call(method, string, given)
    case .mapping(let values):
      switch method {
      case .items: return .list(values.map { .list([.string($0.key), $0.value]) })
      case .keys: return .list(values.keys.map(TemplateValue.string))
      case .values: return .list(Array(values.values))
      default:
        let standard = given[1] ?? .none
        guard case .string(let key)? = given[0] else { return standard }
        return values[key] ?? standard
      }
    default: throw fault("\(value.kind) has no function \(method.rawValue)")
    }
  }

  private func call(
    _ method: TemplateMethod, _ string: String, _ given: [TemplateValue?]
  ) throws(TemplateError) -> TemplateValue {
    switch method {
    case .strip, .lstrip, .rstrip:
      return .string(
        string.stripped(
          of: try optionalString(given[0]), start: method != .rstrip, end: method != .lstrip))
    case .startswith, .endswith:
      // A list of strings stands for any of them.
      let parts: [TemplateValue?] =
        if case .list(let values)? = given[0] { values } else { [given[0]] }
      for part in parts {
        let part = try self.string(part, of: method.rawValue)
        if method == .startswith ? string.begins(with: part) : string.ends(with: part) {
          return .boolean(true)
        }
      }
      return .boolean(false)
    case .split:
      let limit = given[1]?.integer ?? -1
      let most = limit < 0 ? Int.max : limit
      guard let separator = try optionalString(given[0]) else {
        return .list(string.words(limit: most).map(TemplateValue.string))
      }
      guard !separator.isEmpty else { throw fault("split between empty strings") }
      return .list(string.parts(between: separator, limit: most).map(TemplateValue.string))
    case .upper: return .string(string.uppercased())
    case .lower: return .string(string.lowercased())
    case .title: return .string(string.titled { !$0.properties.isAlphabetic })
    case .capitalize: return .string(string.capitalized)
    case .replace: return .string(try replaced(string, given))
    case .find:
      let part = try self.string(given[0], of: "find")
      let range = string.utf8.firstRange(of: part)
      return .integer(range.map { string.unicodeScalars[..<$0.lowerBound].count } ?? -1)
    case .count:
      let part = try self.string(given[0], of: "count")
      guard !part.isEmpty else { return .integer(string.unicodeScalars.count + 1) }
      return .integer(string.parts(between: part).count - 1)
    case .join:
      guard let parts = given[0]?.elements else { throw fault("join: expected a list") }
      var strings: [String] = []
      for part in parts { strings.append(try self.string(part, of: "join")) }
      return .string(try joined(strings, by: string))
    case .items, .keys, .values, .get: throw fault("a string has no \(method.rawValue)")
    }
  }

  /// `string` with its second argument in place of its first.
  func replaced(_ string: String, _ given: [TemplateValue?]) throws(TemplateError) -> String {
    let limit = given[2]?.integer ?? -1
    let most = limit < 0 ? Int.max : limit
    let (old, new) = (
      try self.string(given[0], of: "replace"), try self.string(given[1], of: "replace")
    )
    if old.isEmpty {
      try require(bytes: (string.utf8.count + 1) * new.utf8.count)
      return string.replacingNothing(by: new, limit: most)
    }
    return try joined(string.parts(between: old, limit: most), by: new)
  }

  /// `strings` with `separator` between.
  func joined(_ strings: [String], by separator: String) throws(TemplateError) -> String {
    try require(
      bytes: strings.count * separator.utf8.count + strings.reduce(0) { $0 + $1.utf8.count })
    return strings.joined(separator: separator)
  }

  private func string(
    _ value: TemplateValue?, of callee: String
  ) throws(TemplateError) -> String {
    guard case .string(let string)? = value else {
      throw fault("\(callee): \(value?.kind ?? "nothing"), expected a string")
    }
    return string
  }

  private func optionalString(_ value: TemplateValue?) throws(TemplateError) -> String? {
    if case nil = value { return nil }
    if case TemplateValue.none? = value { return nil }
    return try string(value, of: "the separator")
  }
}
