/// Filters, as in `value | trim`.
enum TemplateFilter: String, Sendable {
  case abs
  case capitalize
  case count
  case d
  case `default`
  case dictsort
  case first
  case float
  case indent
  case int
  case items
  case join
  case last
  case length
  case list
  case lower
  case map
  case reject
  case rejectattr
  case replace
  case reverse
  case safe
  case select
  case selectattr
  case string
  case title
  case tojson
  case trim
  case upper

  /// The names of its arguments; `nil` where they depend on the first.
  var parameters: [String]? {
    switch self {
    case .default, .d: ["default_value", "boolean"]
    case .float, .int: ["default"]
    case .indent: ["width", "first", "blank"]
    case .join: ["d", "attribute"]
    case .map, .reject, .rejectattr, .select, .selectattr: nil
    case .replace: ["old", "new", "count"]
    case .tojson: ["ensure_ascii", "indent"]
    case .trim: ["chars"]
    default: []
    }
  }
}

extension TemplateEvaluator {
  /// The result of `filter` for `value`.
  mutating func apply(
    _ filter: TemplateFilter, to value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    guard let parameters = filter.parameters else {
      return try filter == .map
        ? map(value, arguments) : select(filter, from: value, arguments)
    }
    let given = try arguments.bound(to: parameters, of: filter.rawValue, in: self)
    let string = value.string
    switch filter {
    case .default, .d:
      let counts = given[1]?.isTrue == true ? value.isTrue : value.isDefined
      return counts ? value : given[0] ?? .string("")
    case .trim:
      let characters = given[0].flatMap { if case .string(let string) = $0 { string } else { nil } }
      return .string(string.stripped(of: characters))
    case .string, .safe: return .string(string)
    case .upper: return .string(string.uppercased())
    case .lower: return .string(string.lowercased())
    case .capitalize: return .string(string.capitalized)
    case .title:
      return .string(string.titled { $0.isBlank || "-({[<".unicodeScalars.contains($0) })
    case .replace: return .string(try replaced(string, given))
    case .indent: return try indent(string, given)
    case .tojson:
      if given[0]?.isTrue == true { throw .unknown("ensure_ascii of tojson", line: line) }
      // Python does not indent where the number is negative.
      let indent = given[1]?.integer.map { max(0, $0) }
      if let indent {
        guard indent <= 256 else { throw fault("an indent of \(indent)") }
        try require(bytes: indent * value.nesting * (value.size ?? 0))
      }
      guard let json = value.json(indent: indent) else {
        throw fault("tojson of \(value.kind), or of something in it that has no JSON")
      }
      return .string(json)
    case .abs:
      guard let number = value.number else { throw fault("abs of \(value.kind)") }
      return number.real < 0 ? try operate(.subtract, .integer(0), value) : number.value
    case .int: return Self.integer(value) ?? given[0] ?? .integer(0)
    case .float:
      return (value.number?.real ?? Double(string.stripped())).map(TemplateValue.real)
        ?? given[0] ?? .real(0)
    case .items, .dictsort: return try items(of: value, filter)
    default: return try apply(filter, toElementsOf: value, given)
    }
  }

  /// Filters of the elements of a value.
  private func apply(
    _ filter: TemplateFilter, toElementsOf value: TemplateValue, _ given: [TemplateValue?]
  ) throws(TemplateError) -> TemplateValue {
    let elements = try elements(of: value, filter)
    switch filter {
    case .length, .count: return .integer(elements.count)
    case .first: return elements.first ?? .undefined("the first element of an empty list")
    case .last: return elements.last ?? .undefined("the last element of an empty list")
    case .list: return .list(elements)
    case .reverse:
      guard case .string = value else { return .list(elements.reversed()) }
      return .string(elements.reversed().map(\.string).joined())
    case .join:
      let attribute = given[1].flatMap { if case .string(let name) = $0 { name } else { nil } }
      var strings: [String] = []
      for element in elements {
        strings.append(
          try attribute.map { name throws(TemplateError) in
            try member(path: name, of: element)
          }?.string ?? element.string)
      }
      return .string(try joined(strings, by: given[0]?.string ?? ""))
    default: throw fault("the filter \(filter.rawValue) is not understood", .unsupported)
    }
  }

  private func elements(
    of value: TemplateValue, _ filter: TemplateFilter
  ) throws(TemplateError) -> [TemplateValue] {
    guard let elements = value.elements else {
      throw fault("\(filter.rawValue) of \(value.kind)")
    }
    return elements
  }

  private static func integer(_ value: TemplateValue) -> TemplateValue? {
    if let real = value.number?.real, let whole = Int(exactly: real.rounded(.towardZero)) {
      return value.integer.map(TemplateValue.integer) ?? .integer(whole)
    }
    guard case .string(let string) = value else { return nil }
    let digits = string.stripped()
    if let whole = Int(digits) { return .integer(whole) }
    return Double(digits).flatMap { Int(exactly: $0.rounded(.towardZero)) }
      .map(TemplateValue.integer)
  }

  private func items(
    of value: TemplateValue, _ filter: TemplateFilter
  ) throws(TemplateError) -> TemplateValue {
    if !value.isDefined, filter == .items { return .list([]) }
    guard case .mapping(let values) = value else {
      throw fault("\(filter.rawValue) of \(value.kind)")
    }
    var pairs = values.map { (key: $0.key, value: $0.value) }
    if filter == .dictsort {
      pairs.sort { $0.key.lowercased().utf8.lexicographicallyPrecedes($1.key.lowercased().utf8) }
    }
    return .list(pairs.map { .list([.string($0.key), $0.value]) })
  }

  private func indent(
    _ string: String, _ given: [TemplateValue?]
  ) throws(TemplateError) -> TemplateValue {
    let isString = if case .string? = given[0] { true } else { false }
    let count = given[0]?.integer ?? 4
    guard isString || (0...256).contains(count) else { throw fault("an indent of \(count)") }
    let blanks = isString ? given[0]?.string ?? "" : String(repeating: " ", count: count)
    let (first, empty) = (given[1]?.isTrue == true, given[2]?.isTrue == true)
    let parts = string.parts(between: "\n")
    try require(bytes: parts.count * blanks.utf8.count)
    let lines = parts.enumerated().map { index, line in
      (index == 0 ? first : empty || !line.isEmpty) ? blanks + line : line
    }
    return .string(try joined(lines, by: "\n"))
  }

  /// `map('filter')`, and `map(attribute='name')`.
  private mutating func map(
    _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    var results: [TemplateValue] = []
    var rest = arguments
    let attribute = rest.named.removeValue(forKey: "attribute")
    let filter = attribute == nil && !rest.positional.isEmpty ? rest.positional.removeFirst() : nil
    for element in try elements(of: value, .map) {
      if let attribute {
        let found = try member(path: attribute.string, of: element)
        results.append(found.isDefined ? found : rest.named["default"] ?? found)
      } else if let filter = filter.flatMap({ TemplateFilter(rawValue: $0.string) }) {
        results.append(try apply(filter, to: element, rest))
      } else {
        throw fault("map(\(filter?.string ?? "")) is not understood", .unsupported)
      }
      try spend(1)
    }
    return .list(results)
  }

  /// `select` and its kin: the elements that pass a test, or one of whose members does.
  private mutating func select(
    _ filter: TemplateFilter, from value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    var rest = arguments.positional[...]
    let hasAttribute = filter == .selectattr || filter == .rejectattr
    let attribute = hasAttribute ? rest.popFirst()?.string : nil
    let name = rest.popFirst()?.string
    let test = name.map { TemplateTest(named: $0) }
    if case .some(nil) = test { throw .unknown("the test \(name ?? "")", line: line) }
    guard arguments.named.isEmpty, !hasAttribute || attribute != nil else {
      throw fault("\(filter.rawValue) lacks an attribute, or has names")
    }
    let argument = rest.popFirst()
    var kept: [TemplateValue] = []
    for element in try elements(of: value, filter) {
      let subject =
        try attribute.map { name throws(TemplateError) in
          try member(path: name, of: element)
        } ?? element
      let passes =
        if let test, let test { try check(test, subject, argument) } else { subject.isTrue }
      if passes == (filter == .select || filter == .selectattr) { kept.append(element) }
      try spend(1)
    }
    return .list(kept)
  }

  /// The member of a member, and so on, of `value`.
  private func member(
    path: String, of value: TemplateValue
  ) throws(TemplateError) -> TemplateValue {
    var value = value
    for name in path.parts(between: ".") { value = try member(name, of: value) }
    return value
  }
}
