/// The tests of Jinja, as in `value is defined`.
enum TemplateTest: String {
  case boolean
  case callable
  case defined
  case divisible = "divisibleby"
  case equal = "eq"
  case escaped
  case even
  case `false`
  case filter
  case float
  case greater = "gt"
  case greaterOrEqual = "ge"
  case `in`
  case integer
  case iterable
  case less = "lt"
  case lessOrEqual = "le"
  case lower
  case mapping
  case none
  case number
  case odd
  case same = "sameas"
  case sequence
  case string
  case test
  case `true`
  case undefined
  case unequal = "ne"
  case upper

  /// The test that templates call `name`.
  init?(named name: String) {
    let standard =
      switch name {
      case "equalto", "==": "eq"
      case "!=": "ne"
      case "lessthan", "<": "lt"
      case "<=": "le"
      case "greaterthan", ">": "gt"
      case ">=": "ge"
      default: name
      }
    self.init(rawValue: standard)
  }

  /// The comparison that the test is.
  fileprivate var comparison: TemplateComparison? {
    switch self {
    case .equal: .equal
    case .unequal: .unequal
    case .less: .less
    case .lessOrEqual: .lessOrEqual
    case .greater: .greater
    case .greaterOrEqual: .greaterOrEqual
    case .in: .in
    default: nil
    }
  }

  /// The names of the arguments.
  fileprivate var parameters: [String] {
    switch self {
    case .divisible: ["num"]
    case .same: ["other"]
    case .in: ["seq"]
    default: comparison == nil ? [] : ["b"]
    }
  }
}

extension TemplateEvaluator {
  /// Whether `value` passes the test `name`.
  func check(
    _ name: String, _ value: Value, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Bool {
    guard let test = TemplateTest(named: name) else {
      throw .unknown("the test \(name)", line: line)
    }
    let parameters = test.parameters
    let given = try bind(arguments, to: parameters, required: parameters.count, of: name)
    if let comparison = test.comparison { return try compare(comparison, value, given[0] ?? .none) }
    switch (test, value) {
    case (.undefined, _): return !value.isDefined
    case (.defined, _): return value.isDefined
    case (.none, .none), (.boolean, .boolean), (.true, .boolean(true)), (.false, .boolean(false)),
      (.string, .string), (.integer, .integer), (.integer, .big), (.float, .real),
      (.mapping, .mapping), (.callable, .undefined), (.iterable, .undefined):
      return true
    case (.callable, .object(let object)): return object.isCallable
    case (.number, _): return value.number != nil
    case (.escaped, _): return value.isMarkup
    case (.iterable, .object(let object)):
      return object is ValueIterator || object is MappingView || object is LoopObject
    case (.iterable, _), (.sequence, _): return value.isIndexed
    case (.lower, _): return try string(value).isPythonLowercase
    case (.upper, _): return try string(value).isPythonUppercase
    case (.filter, _), (.test, _):
      _ = try key(value)
      guard test == .test else { return value.text.flatMap { TemplateFilter(named: $0) } != nil }
      return value.text.flatMap { TemplateTest(named: $0) } != nil
    case (.same, _): return value.isSame(as: given[0] ?? .none)
    case (.odd, _), (.even, _), (.divisible, _):
      let divisor = test == .divisible ? given[0] ?? .none : .integer(2)
      let rest = try operate(.remainder, value, divisor)
      return try equal(rest, .integer(test == .odd ? 1 : 0))
    default: return false
    }
  }
}
