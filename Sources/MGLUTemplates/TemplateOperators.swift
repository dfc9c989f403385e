extension TemplateEvaluator {
  /// `left operation right`.
  func operate(
    _ operation: TemplateOperator, _ left: TemplateValue, _ right: TemplateValue
  ) throws(TemplateError) -> TemplateValue {
    if operation == .join { return .string(left.string + right.string) }
    for case .undefined(let name) in [left, right] { throw fault("\(name) is not defined") }
    switch (operation, left, right) {
    case (.add, .string(let a), .string(let b)): return .string(a + b)
    case (.add, .list(let a), .list(let b)): return .list(a + b)
    default: break
    }
    guard let a = left.number, let b = right.number else {
      throw fault("\(left.kind) \(operation.rawValue) \(right.kind)")
    }
    if case .integer(let a) = a, case .integer(let b) = b, operation != .divide {
      return .integer(try operate(operation, a, b))
    }
    let (x, y) = (a.real, b.real)
    guard y != 0 || ![.divide, .divideDown, .remainder].contains(operation) else {
      throw fault("a division by 0")
    }
    return switch operation {
    case .add: .real(x + y)
    case .subtract: .real(x - y)
    case .multiply: .real(x * y)
    case .divide: .real(x / y)
    case .divideDown: .real((x / y).rounded(.down))
    default: .real(x - y * (x / y).rounded(.down))
    }
  }

  private func operate(
    _ operation: TemplateOperator, _ a: Int, _ b: Int
  ) throws(TemplateError) -> Int {
    let (value, overflows): (Int, Bool)
    switch operation {
    case .add: (value, overflows) = a.addingReportingOverflow(b)
    case .subtract: (value, overflows) = a.subtractingReportingOverflow(b)
    case .multiply: (value, overflows) = a.multipliedReportingOverflow(by: b)
    default:
      guard b != 0 else { throw fault("a division by 0") }
      let (quotient, isTooLarge) = a.dividedReportingOverflow(by: b)
      guard !isTooLarge else { throw fault("\(a) // \(b) is too large") }
      let rest = a - quotient * b
      let isBelow = rest != 0 && (rest < 0) != (b < 0)
      if operation == .divideDown { return isBelow ? quotient - 1 : quotient }
      return isBelow ? rest + b : rest
    }
    guard !overflows else { throw fault("\(a) \(operation.rawValue) \(b) is too large") }
    return value
  }

  /// Whether `left comparison right`.
  func compare(
    _ comparison: TemplateComparison, _ left: TemplateValue, _ right: TemplateValue
  ) throws(TemplateError) -> Bool {
    switch comparison {
    case .equal: left == right
    case .unequal: left != right
    case .in: try contains(right, left)
    case .notIn: try !contains(right, left)
    case .less: try isOrdered(left, right)
    case .greater: try isOrdered(right, left)
    case .lessOrEqual: left == right ? true : try isOrdered(left, right)
    case .greaterOrEqual: left == right ? true : try isOrdered(right, left)
    }
  }

  private func isOrdered(
    _ left: TemplateValue, _ right: TemplateValue
  ) throws(TemplateError) -> Bool {
    if case .string(let a) = left, case .string(let b) = right {
      return a.utf8.lexicographicallyPrecedes(b.utf8)
    }
    guard let a = left.number, let b = right.number else {
      throw fault("\(left.kind) is compared with \(right.kind)")
    }
    if case .integer(let a) = a, case .integer(let b) = b { return a < b }
    return a.real < b.real
  }

  private func contains(
    _ whole: TemplateValue, _ part: TemplateValue
  ) throws(TemplateError) -> Bool {
    switch (whole, part) {
    case (.string(let whole), .string(let part)): return whole.utf8.firstRange(of: part) != nil
    case (.string, _): throw fault("\(part.kind) is looked for in a string")
    case (.mapping(let values), .string(let key)): return values[key] != nil
    default:
      guard let elements = whole.elements else {
        throw fault("\(part.kind) is looked for in \(whole.kind)")
      }
      return elements.contains(part)
    }
  }
}
