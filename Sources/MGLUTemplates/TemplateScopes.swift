/// Where the variables of a template are. Like Jinja, names are bound to places before the template
/// renders: a body that sets a name has a variable of its own, which begins with the value outside.
struct TemplateScopes: Sendable {
  /// A variable: how many functions out it lies, and its slot there.
  struct Place: Sendable {
    let hops: Int
    let slot: Int
  }

  /// How a variable begins when its body is entered.
  enum Start: Sendable {
    case parameter
    /// With the value of the template's own variables.
    case context(String)
    case copy(Place)
    case undefined
  }

  /// The place of each use of a variable; none where a special name is not used.
  fileprivate(set) var places: [Place?]
  /// The variables of each scope.
  fileprivate(set) var variables: [[(slot: Int, start: Start)]]
  /// What each scope of a scoped block sees from around it.
  fileprivate(set) var surroundings: [Int: [(name: String, place: Place)]] = [:]
  /// The slot of `self` in each scope that uses it.
  fileprivate(set) var selfSlots: [Int: Int] = [:]
  /// How many slots each scope that is a function has.
  fileprivate(set) var slots: [Int]

  init(_ statements: [TemplateStatement], uses: Int, scopes: Int) throws(TemplateError) {
    places = .init(repeating: nil, count: uses)
    variables = .init(repeating: [], count: scopes)
    slots = .init(repeating: 0, count: scopes)
    let function = ScopeFunction(depth: 0)
    let budget = Symbols.Budget()
    let symbols = Symbols(parent: nil, function: function, budget: budget)
    symbols.analyze(statements)
    if statements.uses("self") { symbols.declare("self") }
    finish(symbols, scope: 0)
    if statements.uses("self") { selfSlots[0] = symbols.find("self")?.slot }
    bind(statements, symbols)
    slots[0] = function.slots.count
    guard budget.left > 0 else {
      throw TemplateError(.limit, "the template has too many variables in too many branches")
    }
  }

  private mutating func finish(_ symbols: Symbols, scope: Int) {
    variables[scope] = symbols.starts.map { variable, start in
      let start: Start =
        switch start {
        case .parameter: .parameter
        case .context(let name): .context(name)
        case .copy(let other): .copy(place(of: other, in: symbols.function))
        case .undefined: .undefined
        }
      return (variable.slot, start)
    }
  }

  private func place(of variable: Symbols.Variable, in function: ScopeFunction) -> Place {
    Place(hops: function.depth - variable.functionDepth, slot: variable.slot)
  }

  private mutating func bind(_ use: VariableUse, _ symbols: Symbols) {
    places[use.id] = symbols.find(use.name).map { place(of: $0, in: symbols.function) }
  }

  private mutating func bind(_ target: TemplateTarget, _ symbols: Symbols) {
    switch target {
    case .variable(let use), .member(let use, _): bind(use, symbols)
    case .parts(let parts): for part in parts { bind(part, symbols) }
    }
  }

  private mutating func bind(_ expression: TemplateExpression?, _ symbols: Symbols) {
    expression?.forEachUse { bind($0, symbols) }
  }

  private mutating func bind(_ filters: [TemplateExpression.FilterCall], _ symbols: Symbols) {
    for filter in filters { filter.arguments.forEachUse { bind($0, symbols) } }
  }

  /// Binds a body whose own names `analyze` declares; a function has its slots to itself.
  private mutating func bind(
    _ body: TemplateStatement.Body, in outer: Symbols, isFunction: Bool = false,
    _ analyze: (Symbols) -> Void = { _ in }, then: (inout Self, Symbols) -> Void = { _, _ in }
  ) {
    let function = isFunction ? ScopeFunction(depth: outer.function.depth + 1) : outer.function
    let symbols = Symbols(parent: outer, function: function)
    analyze(symbols)
    symbols.analyze(body.statements)
    finish(symbols, scope: body.scope)
    then(&self, symbols)
    bind(body.statements, symbols)
    if isFunction { slots[body.scope] = function.slots.count }
  }

  private mutating func bind(_ macro: TemplateStatement.Macro, in outer: Symbols) {
    let used = macro.body.statements.undeclared(["caller", "kwargs", "varargs"])
    bind(macro.body, in: outer, isFunction: true) { symbols in
      for parameter in macro.parameters { symbols.declare(parameter.name) }
      for name in ["caller", "kwargs", "varargs"] where used.contains(name) {
        symbols.declare(name)
      }
      for parameter in macro.parameters { parameter.standard?.forEachUse { symbols.load($0.name) } }
    } then: { scopes, symbols in
      for parameter in macro.parameters {
        scopes.bind(parameter.variable, symbols)
        scopes.bind(parameter.standard, symbols)
      }
      for use in [macro.special.caller, macro.special.named, macro.special.extra]
      where used.contains(use.name) { scopes.bind(use, symbols) }
    }
  }

  private mutating func bind(_ loop: TemplateStatement.Loop, _ symbols: Symbols) {
    bind(loop.elements, symbols)
    if let condition = loop.condition {
      let body = TemplateStatement.Body(statements: [], scope: loop.conditionScope)
      bind(body, in: symbols, isFunction: true) { symbols in
        symbols.declare(loop.conditionTarget)
        condition.forEachUse { symbols.load($0.name) }
      } then: { scopes, symbols in
        scopes.bind(loop.conditionTarget, symbols)
        scopes.bind(condition, symbols)
      }
    }
    // A recursive loop is a function, which its other branch shares.
    let outer =
      loop.isRecursive
      ? Symbols(parent: symbols, function: ScopeFunction(depth: symbols.function.depth + 1))
      : symbols
    bind(loop.body, in: outer) { symbols in
      symbols.declare("loop")
      symbols.declare(loop.target)
    } then: { scopes, symbols in
      scopes.bind(loop.state, symbols)
      scopes.bind(loop.target, symbols)
    }
    if let otherwise = loop.otherwise { bind(otherwise, in: outer) }
    if loop.isRecursive { slots[loop.body.scope] = outer.function.slots.count }
  }

  private mutating func bind(_ statements: [TemplateStatement], _ symbols: Symbols) {
    for statement in statements {
      switch statement.kind {
      case .data, .leaveLoop, .nextIteration: break
      case .output(let values): for value in values { bind(value, symbols) }
      case .choice(let branches, let otherwise):
        for branch in branches {
          bind(branch.condition, symbols)
          bind(branch.body, symbols)
        }
        bind(otherwise, symbols)
      case .loop(let loop): bind(loop, symbols)
      case .assignment(let target, let value):
        bind(value, symbols)
        bind(target, symbols)
      case .capture(let target, let filtered):
        bind(target, symbols)
        bind(filtered, in: symbols)
      case .filter(let filtered): bind(filtered, in: symbols)
      case .with(let variables, let body):
        for variable in variables { bind(variable.value, symbols) }
        bind(body, in: symbols) { symbols in
          for variable in variables { symbols.declare(variable.target) }
        } then: { scopes, symbols in
          for variable in variables { scopes.bind(variable.target, symbols) }
        }
      case .macro(let macro, let use):
        bind(use, symbols)
        bind(macro, in: symbols)
      case .call(let macro, let call):
        bind(call, symbols)
        bind(macro, in: symbols)
      case .autoescape(let condition, let body):
        bind(body, in: symbols) { symbols in
          condition.forEachUse { symbols.load($0.name) }
        } then: { scopes, symbols in
          scopes.bind(condition, symbols)
        }
      case .block(let block):
        if block.isScoped {
          surroundings[block.body.scope] = symbols.allStores.map { name, variable in
            (name, place(of: variable, in: symbols.function))
          }
        }
        let root = Symbols(parent: nil, function: ScopeFunction(depth: -1), budget: symbols.budget)
        bind(block.body, in: root, isFunction: true) { symbols in
          for name in ["self", "super"] where block.body.statements.uses(name) {
            symbols.declare(name)
          }
        } then: { scopes, symbols in
          if block.body.statements.uses("self") {
            scopes.selfSlots[block.body.scope] = symbols.find("self")?.slot
          }
        }
      case .unavailable(_, let targets): for target in targets { bind(target, symbols) }
      }
    }
  }

  private mutating func bind(_ filtered: TemplateStatement.FilteredBody, in symbols: Symbols) {
    bind(filtered.body, in: symbols) { symbols in
      for filter in filtered.filters {
        filter.arguments.forEachUse { symbols.load($0.name) }
      }
    } then: { scopes, symbols in
      scopes.bind(filtered.filters, symbols)
    }
  }
}
