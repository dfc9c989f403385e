/// Values, and the operations that follow them.
extension TemplateParser {
  /// The operations that follow a value: members, subscripts and calls, then filters and tests.
  mutating func followed(
    _ start: TemplateExpression, filters: Bool
  ) throws(TemplateError) -> TemplateExpression {
    var value = start
    while true {
      if !filters, takeSymbol(".") {
        value = .attribute(value, try name("a member"))
      } else if !filters, takeSymbol("[") {
        value = try item(of: value)
      } else if takeSymbol("(") {
        value = .call(value, try arguments())
      } else if filters, takeSymbol("|") {
        value = try filtered(value)
      } else if filters, takeName("is") {
        value = try tested(value)
      } else {
        return value
      }
      try deepen()
    }
  }

  private mutating func item(of value: TemplateExpression) throws(TemplateError)
    -> TemplateExpression
  {
    var bounds: [TemplateExpression?] = []
    var bound: TemplateExpression?
    while !takeSymbol("]") {
      if takeSymbol(":") {
        bounds.append(bound)
        bound = nil
      } else {
        guard bound == nil else { throw expected("]") }
        bound = try expression()
      }
    }
    if bounds.isEmpty {
      guard let bound else { throw expected("a subscript") }
      return .item(value, bound)
    }
    guard bounds.count < 3 else { throw expected("]") }
    return .slice(value, bounds + [bound])
  }

  private mutating func filtered(_ value: TemplateExpression) throws(TemplateError)
    -> TemplateExpression
  {
    let line = line
    let word = try name("a filter")
    guard let filter = TemplateFilter(rawValue: word) else {
      throw .unknown("the filter \(word)", line: line)
    }
    let arguments = takeSymbol("(") ? try arguments() : .init()
    if let parameters = filter.parameters {
      let extra = arguments.named.first { !parameters.contains($0.name) }?.name
      guard extra == nil, arguments.positional.count <= parameters.count else {
        throw .unknown("the argument \(extra ?? "at the end") of the filter \(word)", line: line)
      }
    }
    return .filter(value, filter, arguments)
  }

  private mutating func tested(_ value: TemplateExpression) throws(TemplateError)
    -> TemplateExpression
  {
    let isNegated = takeName("not")
    let line = line
    let word = try name("a test")
    guard let test = TemplateTest(named: word) else {
      throw .unknown("the test \(word)", line: line)
    }
    var other: TemplateExpression?
    if test.hasArgument {
      other = try unfiltered()
    } else if takeSymbol("("), !takeSymbol(")") {
      throw expected(")")
    }
    let result = TemplateExpression.test(value, test, other)
    return isNegated ? .not(result) : result
  }

  /// Arguments up to the closing bracket.
  private mutating func arguments() throws(TemplateError) -> TemplateExpression.Arguments {
    var arguments = TemplateExpression.Arguments()
    var isFirst = true
    while !takeSymbol(")") {
      if !isFirst, !takeSymbol(",") { throw expected(",") }
      isFirst = false
      if takeSymbol(")") { break }
      if current == .symbol("*") || current == .symbol("**") {
        throw .unknown("* before an argument", line: line)
      }
      if case .name(let name) = current, tokens[index + 1].kind == .symbol("=") {
        next()
        next()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty else { throw expected("NAME=") }
        arguments.positional.append(try expression())
      }
    }
    return arguments
  }

  mutating func primary() throws(TemplateError) -> TemplateExpression {
    let token = current
    switch token {
    case .name(let name):
      next()
      switch name {
      case "true", "True": return .literal(.boolean(true))
      case "false", "False": return .literal(.boolean(false))
      case "none", "None": return .literal(.none)
      default: return .name(name)
      }
    case .string(var string):
      next()
      while case .string(let more) = current {
        string += more
        next()
      }
      return .literal(.string(string))
    case .integer(let value):
      next()
      return .literal(.integer(value))
    case .real(let value):
      next()
      return .literal(.real(value))
    case .symbol("("):
      next()
      if takeSymbol(")") { return .list([]) }
      let value = try sequence()
      guard takeSymbol(")") else { throw expected(")") }
      return value
    case .symbol("["):
      next()
      var elements: [TemplateExpression] = []
      while !takeSymbol("]") {
        if !elements.isEmpty {
          guard takeSymbol(",") else { throw expected(", or ]") }
          if takeSymbol("]") { break }
        }
        elements.append(try expression())
      }
      return .list(elements)
    case .symbol("{"):
      next()
      return .mapping(try entries())
    default: throw expected("a value")
    }
  }

  private mutating func entries() throws(TemplateError) -> [(
    key: TemplateExpression, value: TemplateExpression
  )] {
    var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !takeSymbol("}") {
      if !entries.isEmpty {
        guard takeSymbol(",") else { throw expected(", or }") }
        if takeSymbol("}") { break }
      }
      let key = try expression()
      guard takeSymbol(":") else { throw expected(":") }
      entries.append((key, try expression()))
    }
    return entries
  }
}
