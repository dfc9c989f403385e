/// Tests, as in `value is defined`.
enum TemplateTest: String, Sendable {
  case defined
  case undefined
  case none
  case boolean
  case `true`
  case `false`
  case string
  case number
  case integer
  case float
  case mapping
  case iterable
  case sequence
  case callable
  case odd
  case even
  case equal = "eq"
  case unequal = "ne"
  case less = "lt"
  case lessOrEqual = "le"
  case greater = "gt"
  case greaterOrEqual = "ge"
  case `in`
  case divisible = "divisibleby"

  /// The test that templates call `name`, if this library has it.
  init?(named name: String) {
    let standard =
      switch name {
      case "equalto", "==", "sameas": "eq"
      case "!=": "ne"
      case "lessthan", "<": "lt"
      case "<=": "le"
      case "greaterthan", ">": "gt"
      case ">=": "ge"
      default: name
      }
    self.init(rawValue: standard)
  }

  /// The comparison that the test is, for those with an argument but `divisible`.
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

  /// Whether an argument follows the test, as in `is divisibleby 2`.
  var hasArgument: Bool { comparison != nil || self == .divisible }
}

extension TemplateEvaluator {
  /// Whether `value` passes `test`.
  func check(
    _ test: TemplateTest, _ value: TemplateValue, _ argument: TemplateValue?
  ) throws(TemplateError) -> Bool {
    if let comparison = test.comparison {
      guard let argument else { throw fault("the test \(test.rawValue) lacks its argument") }
      return try compare(comparison, value, argument)
    }
    switch (test, value) {
    case (.undefined, _): return !value.isDefined
    case (.defined, _): return value.isDefined
    case (.none, .none), (.boolean, .boolean), (.true, .boolean(true)), (.false, .boolean(false)),
      (.string, .string), (.integer, .integer), (.float, .real), (.mapping, .mapping),
      (.callable, .function), (.callable, .macro):
      return true
    case (.number, _): return value.number != nil
    case (.iterable, _), (.sequence, _): return value.elements != nil
    case (.odd, _), (.even, _), (.divisible, _):
      let divisor = test == .divisible ? argument : .integer(2)
      let rest = try operate(.remainder, value, divisor ?? .none)
      return (rest == .integer(0)) == (test != .odd)
    default: return false
    }
  }
}
