/// The names that parts of a template use.
extension TemplateExpression {
  /// Calls `body` with each use of a variable, in the order of the source.
  func forEachUse(_ body: (VariableUse) -> Void) {
    if case .variable(let use) = self { body(use) }
    for part in parts { part.forEachUse(body) }
  }

  /// The expressions that it is made of; of a choice, the condition comes first.
  var parts: [TemplateExpression] {
    switch self {
    case .literal, .variable: []
    case .list(let parts), .tuple(let parts), .concatenation(let parts): parts
    case .mapping(let entries): entries.flatMap { [$0.key, $0.value] }
    case .attribute(let value, _), .not(let value), .negative(let value), .positive(let value):
      [value]
    case .item(let a, let b), .operation(_, let a, let b), .and(let a, let b), .or(let a, let b):
      [a, b]
    case .slice(let value, let bounds): [value] + bounds.compactMap { $0 }
    case .call(let value, let arguments), .test(let value, _, let arguments):
      [value] + arguments.all
    case .filter(let value, let filter): [value] + filter.arguments.all
    case .comparison(let first, let others): [first] + others.map(\.1)
    case .choice(let value, let condition, let otherwise):
      [condition, value] + (otherwise.map { [$0] } ?? [])
    }
  }
}

extension TemplateExpression.Arguments {
  /// The values of all arguments.
  var all: [TemplateExpression] {
    positional + named.map(\.value) + [list, mapping].compactMap { $0 }
  }

  func forEachUse(_ body: (VariableUse) -> Void) { for value in all { value.forEachUse(body) } }
}

extension [TemplateStatement] {
  /// Whether `name` is used before it is set.
  func uses(_ name: String) -> Bool { !undeclared([name]).isEmpty }

  /// Those of `names` that are used before they are set, blocks left out.
  func undeclared(_ names: Set<String>) -> Set<String> {
    var search = UndeclaredSearch(names: names)
    search.visit(self)
    return search.found
  }
}

private struct UndeclaredSearch {
  var names: Set<String>
  var found: Set<String> = []

  mutating func visit(_ expression: TemplateExpression?) {
    expression?.forEachUse { if names.contains($0.name) { found.insert($0.name) } }
  }

  mutating func visit(_ target: TemplateTarget) {
    switch target {
    case .variable(let use): names.remove(use.name)
    case .member: break
    case .parts(let parts): for part in parts { visit(part) }
    }
  }

  mutating func visit(_ macro: TemplateStatement.Macro) {
    for parameter in macro.parameters { names.remove(parameter.name) }
    for parameter in macro.parameters { visit(parameter.standard) }
    visit(macro.body.statements)
  }

  mutating func visit(_ filters: [TemplateExpression.FilterCall]) {
    for filter in filters {
      filter.arguments.forEachUse { if names.contains($0.name) { found.insert($0.name) } }
    }
  }

  mutating func visit(_ statements: [TemplateStatement]) {
    for statement in statements {
      switch statement.kind {
      case .data, .leaveLoop, .nextIteration, .block: break
      case .output(let values): for value in values { visit(value) }
      case .choice(let branches, let otherwise):
        for branch in branches {
          visit(branch.condition)
          visit(branch.body)
        }
        visit(otherwise)
      case .loop(let loop):
        visit(loop.target)
        visit(loop.elements)
        visit(loop.body.statements)
        visit(loop.otherwise?.statements ?? [])
        visit(loop.condition)
      case .assignment(let target, let value):
        visit(target)
        visit(value)
      case .capture(let target, let filtered):
        visit(target)
        visit(filtered.filters)
        visit(filtered.body.statements)
      case .filter(let filtered):
        visit(filtered.body.statements)
        visit(filtered.filters)
      case .with(let variables, let body):
        for variable in variables { visit(variable.target) }
        for variable in variables { visit(variable.value) }
        visit(body.statements)
      case .macro(let macro, _): visit(macro)
      case .call(let macro, let call):
        visit(call)
        visit(macro)
      case .autoescape(let condition, let body):
        visit(condition)
        visit(body.statements)
      case .unavailable(_, let targets): for target in targets { visit(target) }
      }
    }
  }
}
