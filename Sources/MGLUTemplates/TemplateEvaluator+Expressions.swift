import OrderedCollections

extension TemplateEvaluator {
  /// The value of `expression`, whose work is counted.
  mutating func evaluate(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
    let value = try compute(expression)
    guard let size = value.size else { throw fault("\(value.kind) is too large", .limit) }
    try spend(1 + size / 64)
    return value
  }

  private mutating func compute(
    _ expression: TemplateExpression
  ) throws(TemplateError) -> TemplateValue {
    switch expression {
    case .literal(let value): return value
    case .name(let name): return lookUp(name)
    case .list(let elements): return .list(try evaluate(all: elements))
    case .mapping(let entries): return try mapping(entries)
    case .attribute(let base, let name): return try member(name, of: try evaluate(base))
    case .item(let base, let key):
      let value = try evaluate(base)
      return try item(try evaluate(key), of: value)
    case .slice(let base, let bounds): return try slice(base, bounds)
    case .call(let callee, let arguments): return try call(callee, arguments)
    case .filter(let base, let filter, let arguments):
      let value = try evaluate(base)
      return try apply(filter, to: value, try evaluate(arguments))
    case .test(let base, let test, let other):
      let value = try evaluate(base)
      let argument = try other.map { expression throws(TemplateError) in try evaluate(expression) }
      return .boolean(try check(test, value, argument))
    case .not(let base): return .boolean(try !evaluate(base).isTrue)
    case .negative(let base):
      return try operate(.subtract, .integer(0), try evaluate(base))
    case .operation(let operation, let left, let right):
      let value = try evaluate(left)
      return try operate(operation, value, try evaluate(right))
    case .comparison(let first, let others):
      var left = try evaluate(first)
      for (comparison, expression) in others {
        let right = try evaluate(expression)
        guard try compare(comparison, left, right) else { return .boolean(false) }
        left = right
      }
      return .boolean(true)
    case .and(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? try evaluate(right) : value
    case .or(let left, let right):
      let value = try evaluate(left)
      return value.isTrue ? value : try evaluate(right)
    case .choice(let value, let condition, let otherwise):
      if try evaluate(condition).isTrue { return try evaluate(value) }
      guard let otherwise else { return .undefined("the other case of an if") }
      return try evaluate(otherwise)
    }
  }

  private mutating func evaluate(
    all expressions: [TemplateExpression]
  ) throws(TemplateError) -> [TemplateValue] {
    var values: [TemplateValue] = []
    for expression in expressions { values.append(try evaluate(expression)) }
    return values
  }

  private mutating func evaluate(
    _ arguments: TemplateExpression.Arguments
  ) throws(TemplateError) -> TemplateArguments {
    var named: OrderedDictionary<String, TemplateValue> = [:]
    for (name, expression) in arguments.named { named[name] = try evaluate(expression) }
    return TemplateArguments(positional: try evaluate(all: arguments.positional), named: named)
  }

  private mutating func mapping(
    _ entries: [(key: TemplateExpression, value: TemplateExpression)]
  ) throws(TemplateError) -> TemplateValue {
    var values: OrderedDictionary<String, TemplateValue> = [:]
    for entry in entries {
      let key = try evaluate(entry.key)
      guard case .string(let name) = key else {
        throw fault("\(key.kind) as a key: expected a string", .unsupported)
      }
      values[name] = try evaluate(entry.value)
    }
    return .mapping(values)
  }

  /// The member `name` of `value`, or undefined.
  func member(_ name: String, of value: TemplateValue) throws(TemplateError) -> TemplateValue {
    switch value {
    case .undefined(let missing):
      throw fault("\(missing) is not defined, and has no \(name)")
    case .mapping(let values): values[name] ?? .undefined(name)
    case .namespace(let index): namespaces[index][name] ?? .undefined(name)
    default: .undefined(name)
    }
  }

  private func item(
    _ key: TemplateValue, of value: TemplateValue
  ) throws(TemplateError) -> TemplateValue {
    if case .string(let name) = key { return try member(name, of: value) }
    guard let index = key.integer else {
      if !value.isDefined { return try member(key.string, of: value) }
      return .undefined("item \(key.string)")
    }
    switch value {
    case .undefined: return try member("item \(index)", of: value)
    case .list(let values):
      let place = index < 0 ? index + values.count : index
      return values.indices.contains(place) ? values[place] : .undefined("item \(index)")
    case .string(let string):
      let scalars = Array(string.unicodeScalars)
      let place = index < 0 ? index + scalars.count : index
      return scalars.indices.contains(place)
        ? .string(String(scalars[place])) : .undefined("item \(index)")
    default: return .undefined("item \(index)")
    }
  }

  private mutating func slice(
    _ base: TemplateExpression, _ bounds: [TemplateExpression?]
  ) throws(TemplateError) -> TemplateValue {
    let value = try evaluate(base)
    var numbers: [Int?] = []
    for bound in bounds {
      let bound = try bound.map { expression throws(TemplateError) in try evaluate(expression) }
      switch bound {
      case nil, TemplateValue.none?: numbers.append(nil)
      case let bound?:
        guard let number = bound.integer else { throw fault("a slice up to \(bound.kind)") }
        numbers.append(number)
      }
    }
    let step = (numbers.count == 3 ? numbers[2] : nil) ?? 1
    guard step != 0 else { throw fault("a slice in steps of 0") }
    switch value {
    case .list(let values): return .list(Self.slice(values, numbers[0], numbers[1], step))
    case .string(let string):
      let scalars = Self.slice(Array(string.unicodeScalars), numbers[0], numbers[1], step)
      return .string(scalars.reduce(into: "") { $0.unicodeScalars.append($1) })
    default: throw fault("a slice of \(value.kind)")
    }
  }

  private static func slice<Element>(
    _ elements: [Element], _ from: Int?, _ to: Int?, _ step: Int
  ) -> [Element] {
    let count = elements.count
    func place(_ bound: Int?, _ standard: Int) -> Int {
      guard let bound else { return standard }
      let place = bound < 0 ? max(bound, -count - 1) + count : bound
      return step > 0 ? min(max(place, 0), count) : min(max(place, -1), count - 1)
    }
    let (start, end) = (place(from, step > 0 ? 0 : count - 1), place(to, step > 0 ? count : -1))
    // A step that leads out of the list is as good as a longer one.
    let stride = Swift.stride(from: start, to: end, by: max(min(step, count + 1), -count - 1))
    return stride.map { elements[$0] }
  }

  private mutating func call(
    _ callee: TemplateExpression, _ arguments: TemplateExpression.Arguments
  ) throws(TemplateError) -> TemplateValue {
    if case .attribute(let base, let name) = callee {
      let value = try evaluate(base)
      let given = try evaluate(arguments)
      if let method = TemplateMethod(name, of: value) { return try call(method, value, given) }
      let found = try member(name, of: value)
      guard found.isDefined else {
        throw fault("\(value.kind) has no function \(name)", .unsupported)
      }
      return try call(found, given)
    }
    let value = try evaluate(callee)
    return try call(value, try evaluate(arguments))
  }

  private mutating func call(
    _ value: TemplateValue, _ arguments: TemplateArguments
  ) throws(TemplateError) -> TemplateValue {
    switch value {
    case .function(let function): try call(function, arguments)
    case .macro(let index): try call(macro: index, arguments)
    case .undefined(let name): throw fault("the function \(name) is not understood", .unsupported)
    default: throw fault("\(value.kind) is called")
    }
  }
}

/// Arguments of a call, by place and by name.
struct TemplateArguments {
  var positional: [TemplateValue] = []
  var named: OrderedDictionary<String, TemplateValue> = [:]

  /// The argument of each of `parameters`, if there is one; throws for an argument without a
  /// parameter.
  func bound(
    to parameters: [String], of callee: String, in evaluator: TemplateEvaluator
  ) throws(TemplateError) -> [TemplateValue?] {
    guard positional.count <= parameters.count else {
      throw evaluator.fault(
        "\(callee) has \(positional.count) arguments: expected at most \(parameters.count)")
    }
    if let extra = named.keys.first(where: { !parameters.contains($0) }) {
      throw evaluator.fault("\(callee) has no parameter \(extra)")
    }
    return parameters.enumerated().map { index, name in
      index < positional.count ? positional[index] : named[name]
    }
  }
}
