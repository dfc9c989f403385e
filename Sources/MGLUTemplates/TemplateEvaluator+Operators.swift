#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension TemplateEvaluator {
  /// The most bits of an integer: about as many as Python writes out.
  private static let mostBits = 16_384

  /// `left operation right`.
  func operate(
    _ operation: TemplateOperator, _ left: Value, _ right: Value
  ) throws(TemplateError) -> Value {
    if operation == .remainder, case .string(let format) = left {
      return try formatted(format, right)
    }
    for value in [left, right] {
      if case .undefined(let undefined) = value { throw fault(undefined.reason) }
    }
    if let a = left.number, let b = right.number { return try operate(operation, a, b) }
    switch (operation, left, right) {
    case (.add, .string(let a), .string(let b)):
      let isMarkup = a.isMarkup || b.isMarkup
      let (first, second) =
        isMarkup
        ? (try escaped(left).text ?? "", try escaped(right).text ?? "") : (a.string, b.string)
      try require(bytes: first.utf8.count + second.utf8.count)
      return try text(first + second, isMarkup: isMarkup)
    case (.add, .list(let a), .list(let b)):
      try require(elements: a.elements.count + b.elements.count)
      return try list(a.elements + b.elements)
    case (.add, .tuple(let a), .tuple(let b)):
      try require(elements: a.elements.count + b.elements.count)
      return try tuple(a.elements + b.elements)
    case (.multiply, _, _):
      if let count = right.index { return try repeated(left, count) }
      if let count = left.index { return try repeated(right, count) }
    default: break
    }
    throw fault("\(left.kind) \(operation.rawValue) \(right.kind)")
  }

  /// A string or list that comes `count` times.
  private func repeated(_ value: Value, _ count: Int) throws(TemplateError) -> Value {
    let count = max(0, count)
    func size(_ part: Int) -> Int {
      let (size, overflows) = part.multipliedReportingOverflow(by: count)
      return overflows ? .max : size
    }
    switch value {
    case .string(let string):
      try require(bytes: size(string.string.utf8.count))
      return try text(
        String(repeating: string.string, count: string.string.isEmpty ? 0 : count),
        isMarkup: string.isMarkup)
    case .list(let values), .tuple(let values):
      try require(elements: size(values.elements.count))
      var result: [Value] = []
      if !values.elements.isEmpty { for _ in 0..<count { result += values.elements } }
      if case .list = value { return try list(result) }
      return try tuple(result)
    default: throw fault("\(value.kind) * an integer")
    }
  }

  func negated(_ value: Value) throws(TemplateError) -> Value {
    switch value.number {
    case .real(let value): return .real(-value)
    case let number?: return Number.big(-(number.big ?? BigInteger(0))).value
    case nil: throw fault("- of \(described(value))")
    }
  }

  private func operate(
    _ operation: TemplateOperator, _ a: Number, _ b: Number
  ) throws(TemplateError) -> Value {
    if case .integer(let x) = a, case .integer(let y) = b,
      let value = Self.quick(operation, x, y)
    {
      return .integer(value)
    }
    if let x = a.big, let y = b.big, let value = try operate(operation, x, y) { return value }
    let (x, y) = (a.real, b.real)
    guard x.isFinite || !isTooLarge(a), y.isFinite || !isTooLarge(b) else {
      throw fault("an integer is too large for a float")
    }
    guard y != 0 || ![.divide, .divideDown, .remainder].contains(operation) else {
      throw fault("a division by 0")
    }
    switch operation {
    case .add: return .real(x + y)
    case .subtract: return .real(x - y)
    case .multiply: return .real(x * y)
    case .divide: return .real(x / y)
    case .divideDown: return .real(Self.dividedDown(x, y).quotient)
    case .remainder: return .real(Self.dividedDown(x, y).remainder)
    case .power:
      guard x != 0 || y >= 0 else { throw fault("0 to a negative power") }
      guard x >= 0 || !x.isFinite || y == y.rounded() else {
        throw fault("a power that is complex")
      }
      let value = pow(x, y)
      guard value.isFinite || !x.isFinite || !y.isFinite else {
        throw fault("a power is too large")
      }
      return .real(value)
    }
  }

  private func isTooLarge(_ number: Number) -> Bool {
    if case .real = number { false } else { true }
  }

  /// The results that stay machine integers.
  private static func quick(_ operation: TemplateOperator, _ a: Int, _ b: Int) -> Int? {
    switch operation {
    case .add:
      let (value, overflows) = a.addingReportingOverflow(b)
      return overflows ? nil : value
    case .subtract:
      let (value, overflows) = a.subtractingReportingOverflow(b)
      return overflows ? nil : value
    case .multiply:
      let (value, overflows) = a.multipliedReportingOverflow(by: b)
      return overflows ? nil : value
    case .divideDown, .remainder:
      guard b != 0, b != -1 else { return nil }
      let (quotient, rest) = a.quotientAndRemainder(dividingBy: b)
      let isBelow = rest != 0 && (rest < 0) != (b < 0)
      if operation == .divideDown { return isBelow ? quotient - 1 : quotient }
      return isBelow ? rest + b : rest
    case .divide, .power: return nil
    }
  }

  /// The result for integers of any size; `nil` where it is a float.
  private func operate(
    _ operation: TemplateOperator, _ a: BigInteger, _ b: BigInteger
  ) throws(TemplateError) -> Value? {
    try spend(1 + a.digits.count * b.digits.count / 64)
    let isZero = b.digits.isEmpty
    guard !isZero || ![.divide, .divideDown, .remainder].contains(operation) else {
      throw fault("a division by 0")
    }
    let value: BigInteger
    switch operation {
    case .add: value = a + b
    case .subtract: value = a - b
    case .multiply: value = a * b
    case .divideDown: value = a.dividedDown(by: b).quotient
    case .remainder: value = a.dividedDown(by: b).remainder
    case .divide:
      guard a.bitCount > 53 || b.bitCount > 53 else { return nil }
      guard let real = a.divided(by: b) else { throw fault("a quotient is too large") }
      return .real(real)
    case .power:
      guard !b.isNegative else { return nil }
      guard let power = try power(a, b) else {
        throw fault("a power has more than \(Self.mostBits) bits", .limit)
      }
      value = power
    }
    guard value.bitCount <= Self.mostBits else {
      throw fault("an integer has more than \(Self.mostBits) bits", .limit)
    }
    return Number.big(value).value
  }

  private func power(_ base: BigInteger, _ exponent: BigInteger) throws(TemplateError)
    -> BigInteger?
  {
    let one = BigInteger(1)
    if exponent.digits.isEmpty { return one }
    if base.bitCount <= 1 { return base.isNegative && !exponent.isOdd ? -base : base }
    guard let count = exponent.machineInteger, count <= Self.mostBits,
      (base.bitCount - 1) * count <= Self.mostBits
    else { return nil }
    var (result, square, rest) = (one, base, count)
    while rest > 0 {
      try spend(1 + square.digits.count * square.digits.count / 64)
      if rest & 1 == 1 { result = result * square }
      rest >>= 1
      if rest > 0 { square = square * square }
    }
    return result
  }

  /// Python's `//` and `%` of floats.
  private static func dividedDown(_ x: Double, _ y: Double) -> (quotient: Double, remainder: Double)
  {
    var rest = fmod(x, y)
    var quotient = (x - rest) / y
    if rest != 0 {
      if (y < 0) != (rest < 0) {
        rest += y
        quotient -= 1
      }
    } else {
      rest = Double(signOf: y, magnitudeOf: 0)
    }
    guard quotient != 0 else { return (Double(signOf: x / y, magnitudeOf: 0), rest) }
    var whole = quotient.rounded(.down)
    if quotient - whole > 0.5 { whole += 1 }
    return (whole, rest)
  }
}
