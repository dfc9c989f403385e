/// Finds filters and tests that do not exist where Jinja's compiler refuses them: everywhere but in an
/// `if`, as a statement or within an expression, where they fail when they are reached. A body with
/// variables of its own, such as a loop's, is no part of the `if` around it.
struct UnknownNames {
  private var line = 1

  /// Throws the first unknown name of `statements`.
  static func check(_ statements: [TemplateStatement]) throws(TemplateError) {
    var search = UnknownNames()
    try search.visit(statements, mayFail: false)
  }

  private mutating func visit(
    _ statements: [TemplateStatement], mayFail: Bool
  ) throws(TemplateError) {
    for statement in statements {
      line = statement.line
      switch statement.kind {
      case .data, .leaveLoop, .nextIteration, .unavailable: break
      case .output(let values): try visit(values, mayFail)
      case .choice(let branches, let otherwise):
        for branch in branches { try visit(branch.body, mayFail: true) }
        try visit(otherwise, mayFail: true)
      case .loop(let loop):
        try visit([loop.elements], mayFail)
        if let condition = loop.condition { try visit(condition) }
        try visit(loop.body.statements, mayFail: false)
        try visit(loop.otherwise?.statements ?? [], mayFail: false)
      case .assignment(_, let value): try visit([value], mayFail)
      case .capture(_, let filtered), .filter(let filtered):
        try visit(filtered.body.statements, mayFail: false)
        for filter in filtered.filters { try visit(filter) }
      case .with(let variables, let body):
        try visit(variables.map(\.value), mayFail)
        try visit(body.statements, mayFail: false)
      case .macro(let macro, _): try visit(macro)
      case .call(let macro, let call):
        try visit(macro)
        if let call { try visit([call], mayFail) }
      case .autoescape(let condition, let body):
        try visit(condition)
        try visit(body.statements, mayFail: false)
      case .block(let block): try visit(block.body.statements, mayFail: false)
      }
    }
  }

  private mutating func visit(_ macro: TemplateStatement.Macro) throws(TemplateError) {
    for parameter in macro.parameters { if let value = parameter.standard { try visit(value) } }
    try visit(macro.body.statements, mayFail: false)
  }

  private func visit(
    _ expressions: [TemplateExpression], _ mayFail: Bool
  ) throws(TemplateError) {
    guard !mayFail else { return }
    for expression in expressions { try visit(expression) }
  }

  private func visit(_ filter: TemplateExpression.FilterCall) throws(TemplateError) {
    guard TemplateFilter(named: filter.name) != nil else {
      throw .unknown("the filter \(filter.name)", line: line)
    }
    for argument in filter.arguments.all { try visit(argument) }
  }

  private func visit(_ expression: TemplateExpression) throws(TemplateError) {
    switch expression {
    case .choice: break
    case .and(let left, let right):
      try visit(left)
      // The compiler leaves out what a constant decides.
      if left.constantTruth != false { try visit(right) }
    case .or(let left, let right):
      try visit(left)
      if left.constantTruth != true { try visit(right) }
    case .filter(let value, let filter):
      try visit(value)
      try visit(filter)
    case .test(let value, let name, let arguments):
      try visit(value)
      guard TemplateTest(named: name) != nil else { throw .unknown("the test \(name)", line: line) }
      for argument in arguments.all { try visit(argument) }
    default: for part in expression.parts { try visit(part) }
    }
  }
}

extension TemplateExpression {
  /// Whether a constant counts as true.
  fileprivate var constantTruth: Bool? {
    switch self {
    case .literal(.none): false
    case .literal(.boolean(let value)): value
    case .literal(.integer(let value)): value != BigInteger(0)
    case .literal(.real(let value)): value != 0
    case .literal(.string(let value)): !value.isEmpty
    case .not(let value): value.constantTruth.map { !$0 }
    case .list(let parts), .tuple(let parts):
      parts.allSatisfy { $0.constantTruth != nil } ? !parts.isEmpty : nil
    default: nil
    }
  }
}
