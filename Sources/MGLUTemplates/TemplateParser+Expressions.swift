/// Expressions, from the loosest operator to the tightest.
extension TemplateParser {
  /// An expression, or several with commas between, which are a tuple. It ends before the word `end`;
  /// its parts may be choices (`a if b else c`) if `choices`.
  mutating func sequence(
    choices: Bool = true, end: String? = nil
  ) throws(TemplateError) -> TemplateExpression {
    let first = choices ? try expression() : try either()
    guard current == .symbol(",") else { return first }
    var elements = [first]
    while takeSymbol(",") {
      if [.outputEnd, .tagEnd, .symbol(")"), .end].contains(current) { break }
      if let end, current == .name(end) { break }
      elements.append(choices ? try expression() : try either())
    }
    return .tuple(elements)
  }

  mutating func expression() throws(TemplateError) -> TemplateExpression {
    let outer = room
    defer { room = outer }
    var value = try either()
    while takeName("if") {
      try deepen()
      let condition = try either()
      let otherwise = takeName("else") ? try expression() : nil
      value = .choice(value, if: condition, otherwise: otherwise)
    }
    return value
  }

  /// Everything but `a if b else c`.
  mutating func either() throws(TemplateError) -> TemplateExpression {
    var left = try both()
    while takeName("or") {
      try deepen()
      left = .or(left, try both())
    }
    return left
  }

  private mutating func both() throws(TemplateError) -> TemplateExpression {
    var left = try negation()
    while takeName("and") {
      try deepen()
      left = .and(left, try negation())
    }
    return left
  }

  private mutating func negation() throws(TemplateError) -> TemplateExpression {
    guard takeName("not") else { return try comparison() }
    let outer = room
    defer { room = outer }
    try deepen()
    return .not(try negation())
  }

  private mutating func comparison() throws(TemplateError) -> TemplateExpression {
    let first = try sum()
    var others: [(TemplateComparison, TemplateExpression)] = []
    while let comparison = takeComparison() { others.append((comparison, try sum())) }
    return others.isEmpty ? first : .comparison(first, others)
  }

  private mutating func takeComparison() -> TemplateComparison? {
    switch current {
    case .symbol(let symbol):
      guard let comparison = TemplateComparison(rawValue: symbol) else { return nil }
      next()
      return comparison
    case .name("in"):
      next()
      return .in
    case .name("not") where tokens[index + 1].kind == .name("in"):
      next()
      next()
      return .notIn
    default: return nil
    }
  }

  private mutating func takeOperator(_ choices: TemplateOperator...) throws(TemplateError)
    -> TemplateOperator?
  {
    guard case .symbol(let symbol) = current, let found = TemplateOperator(rawValue: symbol),
      choices.contains(found)
    else { return nil }
    try deepen()
    next()
    return found
  }

  private mutating func sum() throws(TemplateError) -> TemplateExpression {
    var left = try joined()
    while let found = try takeOperator(.add, .subtract) {
      left = .operation(found, left, try joined())
    }
    return left
  }

  private mutating func joined() throws(TemplateError) -> TemplateExpression {
    var parts = [try product()]
    while takeSymbol("~") { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : .concatenation(parts)
  }

  private mutating func product() throws(TemplateError) -> TemplateExpression {
    var left = try power()
    while let found = try takeOperator(.multiply, .divide, .divideDown, .remainder) {
      left = .operation(found, left, try power())
    }
    return left
  }

  private mutating func power() throws(TemplateError) -> TemplateExpression {
    var left = try signed()
    while let found = try takeOperator(.power) { left = .operation(found, left, try signed()) }
    return left
  }

  private mutating func signed() throws(TemplateError) -> TemplateExpression {
    try followed(try unfiltered(), filters: true)
  }

  private mutating func unfiltered() throws(TemplateError) -> TemplateExpression {
    let outer = room
    defer { room = outer }
    try deepen()
    if takeSymbol("-") { return try followed(.negative(try unfiltered()), filters: false) }
    if takeSymbol("+") { return try followed(.positive(try unfiltered()), filters: false) }
    return try followed(try primary(), filters: false)
  }

  /// Counts the nesting, and throws where it is too deep.
  mutating func deepen() throws(TemplateError) {
    room -= 1
    guard room > 0 else {
      throw TemplateError(
        .limit,
        "an expression is more than \(Self.deepestExpression) deep", line: line)
    }
  }
}
