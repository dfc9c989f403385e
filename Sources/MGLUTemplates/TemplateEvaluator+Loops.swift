extension TemplateEvaluator {
  func start(_ loop: TemplateStatement.Loop) throws(TemplateError) -> Flow {
    let source = try evaluate(loop.elements)
    guard loop.isRecursive else { return try run(loop, through: source, recursion: nil, depth: 0) }
    try retain(activation)
    try write(try text(try recurse(.init(loop: loop, activation: activation), source, depth: 0)))
    return .next
  }

  /// The output of a recursive loop through `source`, `depth` loops deep.
  func recurse(
    _ recursion: LoopObject.Recursion, _ source: Value, depth: Int
  ) throws(TemplateError) -> String {
    try nested { () throws(TemplateError) in
      let outer = activation
      defer { activation = outer }
      activation = Activation(
        slots: template.scopes.slots[recursion.loop.body.scope], parent: recursion.activation)
      return try captured { () throws(TemplateError) in
        try run(recursion.loop, through: source, recursion: recursion, depth: depth)
      }.string
    }
  }

  private func run(
    _ loop: TemplateStatement.Loop, through source: Value, recursion: LoopObject.Recursion?,
    depth: Int
  ) throws(TemplateError) -> Flow {
    let wasTopLevel = isTopLevel
    isTopLevel = false
    defer { isTopLevel = wasTopLevel }
    var (source, elements) = (source, try iterator(source))
    if let condition = loop.condition {
      elements = filtered(elements, loop, condition, recursion)
      source = .object(elements)
    }
    let state = LoopObject(source, elements, recursion: recursion, depth0: depth)
    let value = try object(state)
    var isUnfinished = true
    while let element = try state.next() {
      try spend(4)
      try assign(element, to: loop.target)
      try assign(value, to: .variable(loop.state))
      enter(loop.body.scope)
      let flow = try run(loop.body.statements)
      if flow == .leaveLoop { break }
      if flow == .next { isUnfinished = false }
    }
    leave(loop.body.scope)
    guard let otherwise = loop.otherwise, isUnfinished else { return .next }
    return try inBody(otherwise.scope) { () throws(TemplateError) in
      try run(otherwise.statements)
    }
  }

  /// The elements for which the condition of a loop holds; each is looked at when it is asked for.
  private func filtered(
    _ elements: ValueIterator, _ loop: TemplateStatement.Loop, _ condition: TemplateExpression,
    _ recursion: LoopObject.Recursion?
  ) -> ValueIterator {
    // The condition is a function beside a recursive loop, not in it.
    let scope = loop.conditionScope
    let inner = Activation(
      slots: template.scopes.slots[scope], parent: recursion?.activation ?? activation)
    var isEntered = false
    return ValueIterator("generator", depth: elements.depth + 1) {
      [unowned self] () throws(TemplateError) -> Value? in
      let (outer, wasTopLevel) = (activation, isTopLevel)
      defer { (activation, isTopLevel) = (outer, wasTopLevel) }
      (activation, isTopLevel) = (inner, false)
      if !isEntered { enter(scope) }
      isEntered = true
      while let element = try elements.next() {
        try spend(1)
        try assign(element, to: loop.conditionTarget)
        if try evaluate(condition).isTrue { return try value(of: loop.conditionTarget) ?? element }
      }
      return nil
    }
  }

  /// The tuple of a target's parts.
  private func value(of target: TemplateTarget) throws(TemplateError) -> Value? {
    switch target {
    case .variable(let use), .member(let use, _):
      return template.scopes.places[use.id].flatMap(slot)
    case .parts(let parts):
      var values: [Value] = []
      for part in parts { values.append(try value(of: part) ?? .none) }
      return try tuple(values)
    }
  }
}
