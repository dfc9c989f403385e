import OrderedCollections

extension TemplateEvaluator {
  func evaluate(_ expression: TemplateExpression) throws(TemplateError) -> Value {
    try nested { () throws(TemplateError) in
      try spend(1)
      return try value(of: expression)
    }
  }

  private func value(of expression: TemplateExpression) throws(TemplateError) -> Value {
    switch expression {
    case .literal(let literal): return try value(of: literal)
    case .variable(let use):
      return template.scopes.places[use.id].flatMap(slot) ?? .undefined(use.name)
    case .list(let parts): return try list(try evaluate(parts))
    case .tuple(let parts): return try tuple(try evaluate(parts))
    case .mapping(let entries):
      var result: OrderedDictionary<MappingKey, Value> = [:]
      for entry in entries {
        let key = try key(try evaluate(entry.key))
        result[key] = try evaluate(entry.value)
      }
      return try mapping(result)
    case .attribute(let value, let name): return try attribute(name, of: try evaluate(value))
    case .item(let value, let index):
      let value = try evaluate(value)
      return try item(try evaluate(index), of: value)
    case .slice(let value, let bounds):
      let value = try evaluate(value)
      var values: [Value] = []
      for bound in bounds { values.append(try bound.map(evaluate) ?? .none) }
      return try slice(value, values)
    case .call(let callee, let arguments):
      let callee = try evaluate(callee)
      return try call(callee, try evaluate(arguments))
    case .filter(let value, let filter):
      let value = try evaluate(value)
      return try apply(filter.name, to: value, try evaluate(filter.arguments))
    case .test(let value, let name, let arguments):
      let value = try evaluate(value)
      return .boolean(try check(name, value, try evaluate(arguments)))
    case .not(let value): return .boolean(!(try evaluate(value).isTrue))
    case .negative(let value): return try negated(try evaluate(value))
    case .positive(let value):
      let value = try evaluate(value)
      guard let number = value.number else { throw fault("+ of \(described(value))") }
      return number.value
    case .operation(let operation, let left, let right):
      let left = try evaluate(left)
      return try operate(operation, left, try evaluate(right))
    case .concatenation(let parts): return try concatenated(try evaluate(parts))
    case .comparison(let first, let others): return try compared(first, others)
    case .and(let left, let right):
      let left = try evaluate(left)
      return left.isTrue ? try evaluate(right) : left
    case .or(let left, let right):
      let left = try evaluate(left)
      return left.isTrue ? left : try evaluate(right)
    case .choice(let value, let condition, let otherwise):
      if try evaluate(condition).isTrue { return try evaluate(value) }
      return try otherwise.map(evaluate)
        ?? .undefined(Undefined("a choice without else is false"))
    }
  }

  private func value(of literal: TemplateExpression.Literal) throws(TemplateError) -> Value {
    switch literal {
    case .none: .none
    case .boolean(let value): .boolean(value)
    case .integer(let value): Number.big(value).value
    case .real(let value): .real(value)
    case .string(let string): try text(string)
    }
  }

  private func evaluate(_ parts: [TemplateExpression]) throws(TemplateError) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(parts.count)
    for part in parts { values.append(try evaluate(part)) }
    return values
  }

  func evaluate(
    _ arguments: TemplateExpression.Arguments
  ) throws(TemplateError) -> TemplateArguments {
    var given = TemplateArguments(positional: try evaluate(arguments.positional))
    for argument in arguments.named {
      given.named.append((argument.name, try evaluate(argument.value)))
    }
    if let list = arguments.list {
      given.positional += try elements(of: try evaluate(list))
    }
    if let mapping = arguments.mapping {
      guard case .mapping(let more) = try evaluate(mapping) else { throw fault("** of no mapping") }
      for (key, value) in more.entries {
        guard let name = key.value.text else { throw fault("** with \(key.value.kind) as a name") }
        guard !given.named.contains(where: { $0.name == name }) else {
          throw fault("two arguments \(name)")
        }
        given.named.append((name, value))
      }
    }
    return given
  }

  private func compared(
    _ first: TemplateExpression, _ others: [(TemplateComparison, TemplateExpression)]
  ) throws(TemplateError) -> Value {
    var left = try evaluate(first)
    for (comparison, other) in others {
      let right = try evaluate(other)
      guard try compare(comparison, left, right) else { return .boolean(false) }
      left = right
    }
    return .boolean(true)
  }

  private func concatenated(_ values: [Value]) throws(TemplateError) -> Value {
    var result = ""
    let isMarkup = autoescape && values.contains { $0.isMarkup }
    for value in values {
      let part = isMarkup ? try escaped(value).text ?? "" : try string(value)
      try require(bytes: result.utf8.count + part.utf8.count)
      result += part
    }
    return try text(result, isMarkup: isMarkup)
  }

  /// What a message says of a value: why it is undefined, or its kind.
  func described(_ value: Value) -> String {
    if case .undefined(let undefined) = value { undefined.reason } else { value.kind }
  }
}

/// The arguments of a call.
struct TemplateArguments {
  var positional: [Value] = []
  var named: [(name: String, value: Value)] = []

  mutating func take(_ name: String) -> Value? {
    guard let index = named.firstIndex(where: { $0.name == name }) else { return nil }
    return named.remove(at: index).value
  }
}

extension TemplateEvaluator {
  /// The arguments in the order of `parameters`, the first `required` of which must be there.
  func bind(
    _ arguments: TemplateArguments, to parameters: [String], required: Int = 0, of callee: String
  ) throws(TemplateError) -> [Value?] {
    guard arguments.positional.count <= parameters.count else {
      throw fault("\(callee) takes at most \(parameters.count) arguments")
    }
    var result: [Value?] = arguments.positional
    result += .init(repeating: nil, count: parameters.count - result.count)
    for (name, value) in arguments.named {
      guard let index = parameters.firstIndex(of: name), result[index] == nil else {
        throw fault("\(callee) has no argument \(name), or has it twice")
      }
      result[index] = value
    }
    for index in 0..<required where result[index] == nil {
      throw fault("\(callee) lacks the argument \(parameters[index])")
    }
    return result
  }
}
