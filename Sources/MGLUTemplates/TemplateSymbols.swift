/// A function of a template: the whole template, a macro, a block, a recursive loop, the condition of a
/// loop. Functions within it see its variables.
final class ScopeFunction {
  let depth: Int
  var slots: [String: Int] = [:]

  init(depth: Int) { self.depth = depth }
}

/// The names of a body while they are bound, with the rules of Jinja's compiler.
final class Symbols {
  struct Variable: Hashable {
    let functionDepth: Int
    let slot: Int
  }

  enum Start {
    /// With what the body is given.
    case parameter
    case context(String)
    case copy(Variable)
    case undefined
  }

  let function: ScopeFunction
  private let parent: Symbols?
  private let level: Int
  private var names: [String: Variable] = [:]
  private var stores: Set<String> = []
  /// How the body's own variables begin.
  private(set) var starts: [Variable: Start] = [:]

  /// How much of the work of binding is left; it may grow with the square of a template's size.
  let budget: Budget

  final class Budget {
    var left = 20_000_000
  }

  init(parent: Symbols?, function: ScopeFunction, budget: Budget? = nil) {
    (self.parent, self.function, level) = (parent, function, (parent?.level ?? -1) + 1)
    self.budget = budget ?? parent?.budget ?? Budget()
  }

  private init(copying other: Symbols) {
    (parent, function, level) = (other.parent, other.function, other.level)
    budget = other.budget
    budget.left -= other.names.count
    (names, stores, starts) = (other.names, other.stores, other.starts)
  }

  func find(_ name: String) -> Variable? { names[name] ?? parent?.find(name) }

  private func define(_ name: String, _ start: Start) {
    // Bodies side by side share the variable of a name.
    let key = "\(level) \(name)"
    let slot = function.slots[key] ?? function.slots.count
    function.slots[key] = slot
    let variable = Variable(functionDepth: function.depth, slot: slot)
    names[name] = variable
    starts[variable] = start
  }

  /// `name` is a parameter, or the variable of a loop.
  func declare(_ name: String) {
    stores.insert(name)
    define(name, .parameter)
  }

  func declare(_ target: TemplateTarget) {
    switch target {
    case .variable(let use): declare(use.name)
    case .member(let use, _): load(use.name)
    case .parts(let parts): for part in parts { declare(part) }
    }
  }

  /// The variables that are set here and around.
  var allStores: [String: Variable] {
    var result = parent?.allStores ?? [:]
    for name in stores { result[name] = find(name) }
    return result
  }

  func load(_ name: String) {
    if find(name) == nil { define(name, .context(name)) }
  }

  private func store(_ name: String) {
    stores.insert(name)
    guard names[name] == nil else { return }
    define(name, parent?.find(name).map { .copy($0) } ?? .undefined)
  }

  private func store(_ target: TemplateTarget) {
    switch target {
    case .variable(let use): store(use.name)
    case .member(let use, _): load(use.name)
    case .parts(let parts): for part in parts { store(part) }
    }
  }

  private func load(_ expression: TemplateExpression?) {
    expression?.forEachUse { load($0.name) }
  }

  /// Finds the names of `statements`; bodies with names of their own are left out.
  func analyze(_ statements: [TemplateStatement]) {
    for statement in statements where budget.left > 0 {
      switch statement.kind {
      case .data, .leaveLoop, .nextIteration, .autoescape, .block: break
      case .output(let values): for value in values { load(value) }
      case .choice(let branches, let otherwise): analyze(branches[...], otherwise)
      case .loop(let loop): load(loop.elements)
      case .assignment(let target, let value):
        load(value)
        store(target)
      case .capture(let target, _): store(target)
      case .filter(let filtered):
        for filter in filtered.filters { filter.arguments.forEachUse { load($0.name) } }
      case .with(let variables, _): for variable in variables { load(variable.value) }
      case .macro(_, let use): store(use.name)
      case .call(_, let call): load(call)
      case .unavailable(_, let targets): for target in targets { store(target) }
      }
    }
  }

  private func analyze(
    _ branches: ArraySlice<TemplateStatement.Branch>, _ otherwise: [TemplateStatement]
  ) {
    guard let first = branches.first else { return }
    load(first.condition)
    let body = Symbols(copying: self)
    body.analyze(first.body)
    let others = Symbols(copying: self)
    for branch in branches.dropFirst() { others.analyze([branch], []) }
    let last = Symbols(copying: self)
    last.analyze(otherwise)
    merge([body, others, last])
  }

  /// After branches: what one of them sets may be unset, and then has the value from outside.
  private func merge(_ branches: [Symbols]) {
    var new: Set<String> = []
    for branch in branches { new.formUnion(branch.stores) }
    new.subtract(stores)
    for branch in branches {
      names.merge(branch.names) { $1 }
      starts.merge(branch.starts) { $1 }
      stores.formUnion(branch.stores)
    }
    for name in new {
      guard let variable = find(name) else { continue }
      starts[variable] = parent?.find(name).map { .copy($0) } ?? .context(name)
    }
  }
}
