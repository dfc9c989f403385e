/// Values, and the operations that follow them.
extension TemplateParser {
  /// The operations that follow a value: members, subscripts and calls, then filters and tests.
  mutating func followed(
    _ start: TemplateExpression, filters: Bool
  ) throws(TemplateError) -> TemplateExpression {
    var value = start
    while true {
      if !filters, takeSymbol(".") {
        if case .integer(let index) = current {
          next()
          value = .item(value, .literal(.integer(index)))
        } else {
          value = .attribute(value, try name("a member"))
        }
      } else if !filters, takeSymbol("[") {
        value = try item(of: value)
      } else if takeSymbol("(") {
        value = .call(value, try arguments())
      } else if filters, takeSymbol("|") {
        value = .filter(value, try filterCall())
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
    var parts: [TemplateExpression] = []
    while !takeSymbol("]") {
      if !parts.isEmpty, !takeSymbol(",") { throw expected(", or ]") }
      if let bounds = try bounds(after: &parts) {
        guard parts.isEmpty, takeSymbol("]") else { throw expected("]") }
        return .slice(value, bounds)
      }
    }
    return .item(value, parts.count == 1 ? parts[0] : .tuple(parts))
  }

  /// The three bounds of a slice; without a colon, the expression goes to `parts`.
  private mutating func bounds(
    after parts: inout [TemplateExpression]
  ) throws(TemplateError) -> [TemplateExpression?]? {
    func isEnd(_ parser: Self) -> Bool {
      [.symbol(":"), .symbol("]"), .symbol(",")].contains(parser.current)
    }
    let start = current == .symbol(":") ? nil : try expression()
    guard takeSymbol(":") else {
      if let start { parts.append(start) }
      return nil
    }
    let stop = isEnd(self) ? nil : try expression()
    let step = !takeSymbol(":") || isEnd(self) ? nil : try expression()
    return [start, stop, step]
  }

  /// The name of a filter, after `|` or a block's first word, and its arguments.
  mutating func filterCall() throws(TemplateError) -> TemplateExpression.FilterCall {
    let word = try dottedName("a filter")
    return .init(name: word, arguments: takeSymbol("(") ? try arguments() : .init())
  }

  /// Filters that follow.
  mutating func moreFilters() throws(TemplateError) -> [TemplateExpression.FilterCall] {
    var filters: [TemplateExpression.FilterCall] = []
    while takeSymbol("|") { filters.append(try filterCall()) }
    return filters
  }

  private mutating func dottedName(_ what: String) throws(TemplateError) -> String {
    var word = try name(what)
    while takeSymbol(".") { word += "." + (try name(what)) }
    return word
  }

  private mutating func tested(_ value: TemplateExpression) throws(TemplateError)
    -> TemplateExpression
  {
    let isNegated = takeName("not")
    let word = try dottedName("a test")
    var arguments = TemplateExpression.Arguments()
    if takeSymbol("(") {
      arguments = try self.arguments()
    } else if beginsArgument {
      if current == .name("is") { throw expected("an argument") }
      let outer = room
      defer { room = outer }
      try deepen()
      arguments.positional = [try followed(try primary(), filters: false)]
    }
    let result = TemplateExpression.test(value, word, arguments)
    return isNegated ? .not(result) : result
  }

  /// Whether the argument of a test follows, as in `is divisibleby 2`.
  private var beginsArgument: Bool {
    switch current {
    case .name(let name): !["else", "or", "and"].contains(name)
    case .string, .integer, .real, .symbol("["), .symbol("{"): true
    default: false
    }
  }

  /// Arguments up to the closing bracket.
  private mutating func arguments() throws(TemplateError) -> TemplateExpression.Arguments {
    var arguments = TemplateExpression.Arguments()
    var isFirst = true
    while !takeSymbol(")") {
      if !isFirst, !takeSymbol(",") { throw expected(",") }
      isFirst = false
      if takeSymbol(")") { break }
      if takeSymbol("**") {
        guard arguments.mapping == nil else { throw expected("one **") }
        arguments.mapping = try expression()
      } else if takeSymbol("*") {
        guard arguments.list == nil, arguments.mapping == nil else { throw expected("one *") }
        arguments.list = try expression()
      } else if case .name(let name) = current, tokens[index + 1].kind == .symbol("=") {
        guard arguments.mapping == nil, !arguments.named.contains(where: { $0.name == name }) else {
          throw expected("a name that is new, before **")
        }
        next()
        next()
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty, arguments.list == nil, arguments.mapping == nil else {
          throw expected("NAME=")
        }
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
      default: return .variable(use(name))
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
      if takeSymbol(")") { return .tuple([]) }
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
