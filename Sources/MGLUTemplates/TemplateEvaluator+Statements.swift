extension TemplateEvaluator {
  /// The statement that runs next.
  enum Flow {
    case next
    case leaveLoop
    case nextIteration
  }

  /// Runs `statements`, and returns how they end.
  func run(_ statements: [TemplateStatement]) throws(TemplateError) -> Flow {
    try nested { () throws(TemplateError) in
      for statement in statements {
        line = statement.line
        try spend(1)
        let flow = try run(statement.kind)
        if flow != .next { return flow }
      }
      return .next
    }
  }

  private func run(_ kind: TemplateStatement.Kind) throws(TemplateError) -> Flow {
    switch kind {
    case .data(let data): try write(data)
    case .output(let values): for value in values { try write(try evaluate(value)) }
    case .choice(let branches, let otherwise):
      for branch in branches where try evaluate(branch.condition).isTrue {
        return try run(branch.body)
      }
      return try run(otherwise)
    case .loop(let loop): return try start(loop)
    case .assignment(let target, let value): try assign(try evaluate(value), to: target)
    case .capture(let target, let filtered):
      let flow = try capture(filtered) { value throws(TemplateError) in
        try assign(value, to: target)
      }
      if flow != .next { return flow }
    case .filter(let filtered):
      let flow = try capture(filtered) { value throws(TemplateError) in try write(result: value) }
      if flow != .next { return flow }
    case .with(let variables, let body): return try run(variables, body)
    case .macro(let macro, let use):
      try retain(activation)
      try assign(.object(MacroObject(macro, in: activation)), to: .variable(use))
    case .call(let macro, let call):
      try retain(activation)
      let caller = MacroObject(macro, in: activation)
      guard case .call(let callee, let arguments)? = call else {
        try write(result: try self.call(caller, .init()))
        break
      }
      let function = try evaluate(callee)
      var given = try evaluate(arguments)
      given.named.append(("caller", .object(caller)))
      try write(result: try self.call(function, given))
    case .autoescape(let condition, let body):
      return try inBody(body.scope) { () throws(TemplateError) in
        let outer = autoescape
        defer { autoescape = outer }
        autoescape = try evaluate(condition).isTrue
        return try run(body.statements)
      }
    case .block(let block):
      let around = template.scopes.surroundings[block.body.scope] ?? []
      let outer = context
      defer { context = outer }
      for item in around { context[item.name] = slot(item.place) ?? context[item.name] }
      try run(block)
    case .unavailable(let word, _):
      throw TemplateError(
        .unsupported, "{% \(word) %} needs another template, and a chat template has none",
        line: line)
    case .leaveLoop: return .leaveLoop
    case .nextIteration: return .nextIteration
    }
    return .next
  }

  /// Writes what a block's function made, which must be a string.
  private func write(result: Value) throws(TemplateError) {
    guard let string = result.text else {
      throw fault("a block makes \(result.kind), not a string")
    }
    try write(string)
  }

  /// Makes the variables of a scope.
  func enter(_ scope: Int) {
    for (slot, start) in template.scopes.variables[scope] {
      switch start {
      case .parameter: break
      case .context(let name): activation.slots[slot] = context[name]
      case .copy(let place): activation.slots[slot] = self.slot(place)
      case .undefined: activation.slots[slot] = nil
      }
    }
  }

  /// Forgets the variables of a scope.
  func leave(_ scope: Int) {
    for (slot, _) in template.scopes.variables[scope] where slot < activation.slots.count {
      activation.slots[slot] = nil
    }
  }

  func slot(_ place: TemplateScopes.Place) -> Value? {
    var activation = activation
    for _ in 0..<place.hops { if let parent = activation.parent { activation = parent } }
    return activation.slots[place.slot]
  }

  /// Runs `body` with the variables of `scope`.
  func inBody(
    _ scope: Int, _ body: () throws(TemplateError) -> Flow
  ) throws(TemplateError) -> Flow {
    let outer = isTopLevel
    isTopLevel = false
    enter(scope)
    defer {
      leave(scope)
      isTopLevel = outer
    }
    return try body()
  }

  private func run(
    _ variables: [(target: TemplateTarget, value: TemplateExpression)],
    _ body: TemplateStatement.Body
  ) throws(TemplateError) -> Flow {
    try inBody(body.scope) { () throws(TemplateError) in
      for variable in variables { try assign(try evaluate(variable.value), to: variable.target) }
      return try run(body.statements)
    }
  }

  /// Gives the output of a body, filtered, to `take`.
  private func capture(
    _ filtered: TemplateStatement.FilteredBody, _ take: (Value) throws(TemplateError) -> Void
  ) throws(TemplateError) -> Flow {
    var result: Value?
    let flow = try inBody(filtered.body.scope) { () throws(TemplateError) in
      let (string, flow) = try captured { () throws(TemplateError) in
        try run(filtered.body.statements)
      }
      guard flow == .next else { return flow }
      var value = try text(string, isMarkup: autoescape)
      for filter in filtered.filters {
        value = try apply(filter.name, to: value, try evaluate(filter.arguments))
      }
      result = value
      return flow
    }
    if let result { try take(result) }
    return flow
  }

  /// Runs a block, which sees the template's own variables only.
  func run(_ block: TemplateStatement.Block) throws(TemplateError) {
    guard !block.isRequired else { throw fault("the block \(block.name) is required") }
    let (outer, wasTopLevel) = (activation, isTopLevel)
    defer { (activation, isTopLevel) = (outer, wasTopLevel) }
    activation = Activation(slots: template.scopes.slots[block.body.scope], parent: nil)
    isTopLevel = false
    enter(block.body.scope)
    if let slot = template.scopes.selfSlots[block.body.scope] {
      activation.slots[slot] = .object(BlockObject(nil))
    }
    _ = try run(block.body.statements)
  }

  /// Gives `value`, or its parts, to a target.
  func assign(_ value: Value, to target: TemplateTarget) throws(TemplateError) {
    switch target {
    case .variable(let use):
      if isTopLevel, !template.blocks.isEmpty { context[use.name] = value }
      guard let place = template.scopes.places[use.id] else { return }
      activation.slots[place.slot] = value
    case .member(let use, let member):
      guard case .object(let object)? = template.scopes.places[use.id].flatMap(slot),
        let namespace = object as? Namespace
      else { throw fault("\(use.name).\(member) is set, but \(use.name) is not a namespace") }
      try checkMember(member)
      namespace.members[MappingKey(member, in: memory)] = value
    case .parts(let parts):
      let elements = try iterator(value)
      var values: [Value] = []
      while values.count <= parts.count, let next = try elements.next() { values.append(next) }
      guard values.count == parts.count else {
        throw fault("\(value.kind) does not have \(parts.count) parts")
      }
      for (part, value) in zip(parts, values) { try assign(value, to: part) }
    }
  }

  /// Members of a namespace do not begin with a bar, as under transformers.
  func checkMember(_ name: String) throws(TemplateError) {
    guard !name.hasPrefix("_") else { throw fault("a namespace cannot have the member \(name)") }
  }
}
