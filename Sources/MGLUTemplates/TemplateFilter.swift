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
  /// What `filter` makes of `value`.
  mutating func apply(
    _ filter: TemplateFilter, to value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    guard let parameters = filter.parameters else {
      return try filter == .map
        ? map(value, arguments) : select(filter, from: value, arguments)
    }
    let given = try arguments.bound(to: parameters, of: filter.rawValue, in: self)
    let text = value.text
    switch filter {
    case .default, .d:
      let counts = given[1]?.isTrue == true ? value.isTrue : value.isDefined
      return counts ? value : given[0] ?? .text("")
    case .trim:
      let characters = given[0].flatMap { if case .text(let text) = $0 { text } else { nil } }
      return .text(text.stripped(of: characters))
    case .string, .safe: return .text(text)
    case .upper: return .text(text.uppercased())
    case .lower: return .text(text.lowercased())
    case .capitalize: return .text(text.capitalized)
    case .title:
      return .text(text.titled { $0.isBlank || "-({[<".unicodeScalars.contains($0) })
    case .replace: return .text(try replaced(text, given))
    case .indent: return try indent(text, given)
    case .tojson:
      if given[0]?.isTrue == true { throw .unknown("ensure_ascii of tojson", line: line) }
      // Python indents by nothing where the number is negative.
      let indent = given[1]?.integer.map { max(0, $0) }
      if let indent {
        guard indent <= 256 else { throw fault("an indent of \(indent)") }
        try require(bytes: indent * value.nesting * (value.size ?? 0))
      }
      guard let json = value.json(indent: indent) else {
        throw fault("tojson of \(value.kind), or of something in it that has no JSON")
      }
      return .text(json)
    case .abs:
      guard let number = value.number else { throw fault("abs of \(value.kind)") }
      return number.real < 0 ? try operate(.subtract, .integer(0), value) : number.value
    case .int: return Self.integer(value) ?? given[0] ?? .integer(0)
    case .float:
      return (value.number?.real ?? Double(text.stripped())).map(TemplateValue.real)
        ?? given[0] ?? .real(0)
    case .items, .dictsort: return try items(of: value, filter)
    default: return try apply(filter, toElementsOf: value, given)
    }
  }

  /// Filters over what has elements.
  private func apply(
    _ filter: TemplateFilter, toElementsOf value: TemplateValue, _ given: [TemplateValue?]
  ) throws(TemplateError) -> TemplateValue {
    let elements = try elements(of: value, filter)
    switch filter {
    case .length, .count: return .integer(elements.count)
    case .first: return elements.first ?? .undefined("the first element of nothing")
    case .last: return elements.last ?? .undefined("the last element of nothing")
    case .list: return .list(elements)
    case .reverse:
      guard case .text = value else { return .list(elements.reversed()) }
      return .text(elements.reversed().map(\.text).joined())
    case .join:
      let attribute = given[1].flatMap { if case .text(let name) = $0 { name } else { nil } }
      var texts: [String] = []
      for element in elements {
        texts.append(
          try attribute.map { name throws(TemplateError) in
            try member(path: name, of: element)
          }?.text ?? element.text)
      }
      return .text(try joined(texts, by: given[0]?.text ?? ""))
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
    guard case .text(let text) = value else { return nil }
    let digits = text.stripped()
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
    return .list(pairs.map { .list([.text($0.key), $0.value]) })
  }

  private func indent(
    _ text: String, _ given: [TemplateValue?]
  ) throws(TemplateError) -> TemplateValue {
    let isText = if case .text? = given[0] { true } else { false }
    let count = given[0]?.integer ?? 4
    guard isText || (0...256).contains(count) else { throw fault("an indent of \(count)") }
    let blanks = isText ? given[0]?.text ?? "" : String(repeating: " ", count: count)
    let (first, empty) = (given[1]?.isTrue == true, given[2]?.isTrue == true)
    let parts = text.parts(between: "\n")
    try require(bytes: parts.count * blanks.utf8.count)
    let lines = parts.enumerated().map { index, line in
      (index == 0 ? first : empty || !line.isEmpty) ? blanks + line : line
    }
    return .text(try joined(lines, by: "\n"))
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
        let found = try member(path: attribute.text, of: element)
        results.append(found.isDefined ? found : rest.named["default"] ?? found)
      } else if let filter = filter.flatMap({ TemplateFilter(rawValue: $0.text) }) {
        results.append(try apply(filter, to: element, rest))
      } else {
        throw fault("map(\(filter?.text ?? "")) is not understood", .unsupported)
      }
      try spend(1)
    }
    return .list(results)
  }

  /// `select` and its kin: the elements that pass a test, or of which a member does.
  private mutating func select(
    _ filter: TemplateFilter, from value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    var rest = arguments.positional[...]
    let hasAttribute = filter == .selectattr || filter == .rejectattr
    let attribute = hasAttribute ? rest.popFirst()?.text : nil
    let name = rest.popFirst()?.text
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
