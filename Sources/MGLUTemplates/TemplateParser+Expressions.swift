/// Expressions, from the loosest operator to the tightest.
extension TemplateParser {
  /// An expression, or several with commas between, which are a list.
  mutating func sequence() throws(TemplateError) -> TemplateExpression {
    let first = try expression()
    guard current == .symbol(",") else { return first }
    var elements = [first]
    while takeSymbol(","), !isAtEnd { elements.append(try expression()) }
    return .list(elements)
  }

  private var isAtEnd: Bool {
    [.outputEnd, .tagEnd, .symbol(")"), .end].contains(current)
  }

  mutating func expression() throws(TemplateError) -> TemplateExpression {
    let value = try either()
    guard takeName("if") else { return value }
    try deepen()
    let condition = try either()
    return .choice(value, if: condition, otherwise: takeName("else") ? try expression() : nil)
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
    var left = try product()
    while let found = try takeOperator(.join) { left = .operation(found, left, try product()) }
    return left
  }

  private mutating func product() throws(TemplateError) -> TemplateExpression {
    var left = try signed()
    while let found = try takeOperator(.multiply, .divide, .divideDown, .remainder) {
      left = .operation(found, left, try signed())
    }
    if current == .symbol("**") { throw .unknown("**", line: line) }
    return left
  }

  private mutating func signed() throws(TemplateError) -> TemplateExpression {
    try followed(try unfiltered(), filters: true)
  }

  mutating func unfiltered() throws(TemplateError) -> TemplateExpression {
    try deepen()
    if takeSymbol("-") { return .negative(try unfiltered()) }
    if takeSymbol("+") { return try unfiltered() }
    return try followed(try primary(), filters: false)
  }

  /// Counts the nesting, and throws where it is too deep.
  mutating func deepen() throws(TemplateError) {
    room -= 1
    guard room > 0 else {
      throw TemplateError(
        .limit,
        "an expression has more than \(Self.deepestExpression) operators and values", line: line)
    }
  }
}
