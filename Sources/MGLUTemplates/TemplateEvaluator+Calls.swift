import OrderedCollections

extension TemplateEvaluator {
  /// The result of a call.
  func call(_ callee: Value, _ arguments: TemplateArguments) throws(TemplateError) -> Value {
    guard case .object(let object) = callee else {
      throw fault("\(described(callee)), and cannot be called")
    }
    return try nested { () throws(TemplateError) in
      try spend(4)
      return try call(object, arguments)
    }
  }

  func call(
    _ object: TemplateObject, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    switch object {
    case let object as FunctionObject: return try call(object.function, arguments)
    case let method as MethodObject: return try call(method, arguments)
    case let macro as MacroObject: return try call(macro, arguments)
    case let loop as LoopObject:
      guard let recursion = loop.recursion else { throw fault("the loop is not recursive") }
      let given = try bind(arguments, to: ["iterable"], required: 1, of: "loop")
      return try text(try recurse(recursion, given[0] ?? .none, depth: loop.depth0 + 1))
    case let joiner as Joiner:
      _ = try bind(arguments, to: [], of: "a joiner")
      defer { joiner.isUsed = true }
      return joiner.isUsed ? joiner.separator : try text("")
    case let block as BlockObject:
      guard let name = block.name, let block = template.blocks[name] else { break }
      let string = try captured { () throws(TemplateError) in
        try run(block)
        return .next
      }.string
      return try text(string, isMarkup: autoescape)
    default: break
    }
    throw fault("\(object.kind) cannot be called")
  }

  /// The output of a macro.
  private func call(
    _ object: MacroObject, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    let macro = object.macro
    var rest = arguments
    let (outer, outerLine, wasTopLevel) = (activation, line, isTopLevel)
    defer { (activation, line, isTopLevel) = (outer, outerLine, wasTopLevel) }
    let inner = Activation(
      slots: template.scopes.slots[macro.body.scope], parent: object.activation)
    func set(_ use: VariableUse, _ value: Value?) {
      if let place = template.scopes.places[use.id] { inner.slots[place.slot] = value }
    }
    let name = macro.name ?? "the caller"
    var hasCaller = false
    for (index, parameter) in macro.parameters.enumerated() {
      if index < rest.positional.count {
        set(parameter.variable, rest.positional[index])
      } else {
        set(parameter.variable, rest.take(parameter.name))
      }
      if parameter.name == "caller" { hasCaller = true }
    }
    if uses(macro.special.caller), !hasCaller {
      set(
        macro.special.caller,
        rest.take("caller") ?? .undefined(Undefined("there is no caller")))
    }
    if uses(macro.special.named), !macro.has("kwargs") {
      var entries: OrderedDictionary<MappingKey, Value> = [:]
      for (name, value) in rest.named { entries[MappingKey(name, in: memory)] = value }
      set(macro.special.named, try mapping(entries))
    } else if let extra = rest.named.first {
      throw fault("\(name) has no argument \(extra.name), or has it twice")
    }
    let extra = rest.positional.dropFirst(macro.parameters.count)
    if uses(macro.special.extra), !macro.has("varargs") {
      set(macro.special.extra, try tuple(Array(extra)))
    } else if !extra.isEmpty {
      throw fault("\(name) takes at most \(macro.parameters.count) arguments")
    }
    activation = inner
    isTopLevel = false
    enter(macro.body.scope)
    for parameter in macro.parameters {
      guard let place = template.scopes.places[parameter.variable.id],
        inner.slots[place.slot] == nil
      else { continue }
      inner.slots[place.slot] =
        try parameter.standard.map(evaluate)
        ?? .undefined(Undefined("the parameter \(parameter.name) was not given"))
    }
    let string = try captured { () throws(TemplateError) in
      try run(macro.body.statements)
    }.string
    return try text(string, isMarkup: autoescape)
  }
}

extension TemplateStatement.Macro {
  fileprivate func has(_ parameter: String) -> Bool {
    parameters.contains { $0.name == parameter }
  }
}
