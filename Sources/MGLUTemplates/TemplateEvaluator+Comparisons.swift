extension Value {
  /// Whether the value can be a key.
  var isHashable: Bool {
    switch self {
    case .list, .mapping: false
    case .tuple(let values): values.elements.allSatisfy(\.isHashable)
    // As in Python, only the values of a mapping are an object without an equality of its own.
    case .object(let object): ((object as? MappingView)?.part ?? .values) == .values
    default: true
    }
  }

  var isMarkup: Bool { if case .string(let text) = self { text.isMarkup } else { false } }

  /// Whether both are one object.
  func isSame(as other: Value) -> Bool {
    switch (self, other) {
    case (.none, .none): true
    case (.boolean(let a), .boolean(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.real(let a), .real(let b)): a == b
    case (.string(let a), .string(let b)):
      a.isMarkup == b.isMarkup && a.string.utf8.elementsEqual(b.string.utf8)
    case (.list(let a), .list(let b)): a === b
    case (.tuple(let a), .tuple(let b)): a === b || a.elements.isEmpty && b.elements.isEmpty
    case (.mapping(let a), .mapping(let b)): a === b
    case (.range(let a), .range(let b)): a === b
    case (.big(let a), .big(let b)): a === b
    case (.undefined(let a), .undefined(let b)): a === b
    case (.object(let a), .object(let b)): a === b
    default: false
    }
  }
}

extension Number {
  /// Python's `==`: integers and floats are compared exactly.
  func equals(_ other: Number) -> Bool {
    switch (self, other) {
    case (.integer(let a), .integer(let b)): return a == b
    case (.real(let a), .real(let b)): return a == b
    case (.real(let real), let whole), (let whole, .real(let real)):
      guard real.isFinite, real == real.rounded() else { return false }
      return whole.big == BigInteger(real)
    default: return big == other.big
    }
  }

  func isLess(than other: Number) -> Bool {
    switch (self, other) {
    case (.integer(let a), .integer(let b)): return a < b
    case (.real(let a), .real(let b)): return a < b
    case (.real(let real), _):
      guard real.isFinite, let whole = other.big else { return real < 0 }
      return BigInteger(real.rounded(.down)) < whole
    case (_, .real(let real)):
      guard real.isFinite, let whole = big else { return real > 0 }
      return whole < BigInteger(real.rounded(.up))
    default:
      guard let a = big, let b = other.big else { return false }
      return a < b
    }
  }
}

extension TemplateEvaluator {
  /// The value as a key.
  func key(_ value: Value) throws(TemplateError) -> MappingKey {
    try checkKey(value)
    return MappingKey(hashable: value)
  }

  private func checkKey(_ value: Value) throws(TemplateError) {
    try spend(1)
    switch value {
    case .list, .mapping: throw fault("\(value.kind) as a key")
    case .tuple(let values): for value in values.elements { try checkKey(value) }
    case .object where !value.isHashable: throw fault("\(value.kind) as a key")
    case .string(let text): try spend(text.string.utf8.count / 64)
    default: break
    }
  }

  /// Whether `left comparison right`.
  func compare(
    _ comparison: TemplateComparison, _ left: Value, _ right: Value
  ) throws(TemplateError) -> Bool {
    switch comparison {
    case .equal: try equal(left, right)
    case .unequal: !(try equal(left, right))
    case .less: try isLess(left, right, "<")
    case .lessOrEqual: try isLess(left, right, "<=", orEqual: true)
    case .greater: try isLess(right, left, ">")
    case .greaterOrEqual: try isLess(right, left, ">=", orEqual: true)
    case .in: try contains(right, left)
    case .notIn: !(try contains(right, left))
    }
  }

  /// Whether both are one object, or equal: how Python compares elements.
  func areAlike(_ a: Value, _ b: Value) throws(TemplateError) -> Bool {
    if a.isSame(as: b) { return true }
    return try equal(a, b)
  }

  func equal(_ a: Value, _ b: Value) throws(TemplateError) -> Bool {
    try spend(1)
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)):
      try spend(min(a.string.utf8.count, b.string.utf8.count) / 64)
      return a.string.utf8.elementsEqual(b.string.utf8)
    case (.list(let a), .list(let b)): return try equal(a, b)
    case (.tuple(let a), .tuple(let b)): return try equal(a, b)
    case (.mapping(let a), .mapping(let b)): return try equal(a, b)
    case (.range(let a), .range(let b)): return a.equals(b)
    case (.object(let a), .object(let b)):
      if a === b { return true }
      guard let a = a as? MappingView, let b = b as? MappingView, a.part == b.part,
        a.part != .values
      else { return false }
      if a.part == .items { return try equal(a.mapping, b.mapping) }
      return a.mapping.entries.count == b.mapping.entries.count
        && a.mapping.entries.keys.allSatisfy { b.mapping.entries[$0] != nil }
    default:
      guard let a = a.number, let b = b.number else { return false }
      return a.equals(b)
    }
  }

  private func equal(_ a: Elements, _ b: Elements) throws(TemplateError) -> Bool {
    guard a !== b else { return true }
    guard a.elements.count == b.elements.count else { return false }
    for (a, b) in zip(a.elements, b.elements) {
      guard try areAlike(a, b) else { return false }
    }
    return true
  }

  private func equal(_ a: Mapping, _ b: Mapping) throws(TemplateError) -> Bool {
    guard a !== b else { return true }
    guard a.entries.count == b.entries.count else { return false }
    for (key, value) in a.entries {
      guard let other = b.entries[key], try areAlike(value, other) else {
        return false
      }
    }
    return true
  }

  /// Whether `a` is less than `b`, or equal if `orEqual`.
  func isLess(
    _ a: Value, _ b: Value, _ sign: String = "<", orEqual: Bool = false
  ) throws(TemplateError) -> Bool {
    try spend(1)
    if let x = a.number, let y = b.number {
      if orEqual, x.equals(y) { return true }
      return x.isLess(than: y)
    }
    switch (a, b) {
    case (.string(let a), .string(let b)):
      try spend(min(a.string.utf8.count, b.string.utf8.count) / 64)
      return orEqual
        ? !b.string.utf8.lexicographicallyPrecedes(a.string.utf8)
        : a.string.utf8.lexicographicallyPrecedes(b.string.utf8)
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      for (x, y) in zip(a.elements, b.elements) where !(try areAlike(x, y)) {
        return try isLess(x, y, sign, orEqual: orEqual)
      }
      return orEqual ? a.elements.count <= b.elements.count : a.elements.count < b.elements.count
    default:
      for value in [a, b] {
        if case .undefined(let undefined) = value { throw fault(undefined.reason) }
      }
      throw fault("\(a.kind) \(sign) \(b.kind): these have no order")
    }
  }

  /// Whether `element in whole`.
  func contains(_ whole: Value, _ element: Value) throws(TemplateError) -> Bool {
    switch whole {
    case .string(let text):
      guard case .string(let part) = element else {
        throw fault("\(described(element)) in a string")
      }
      try spend((text.string.utf8.count + part.string.utf8.count) / 64)
      return text.string.utf8.firstRange(of: part.string) != nil
    case .mapping(let mapping): return mapping.entries[try key(element)] != nil
    case .range(let range):
      guard let number = element.number else { return false }
      guard
        case .integer(let value)? = number.big.map({ Number.big($0).value })
          ?? wholeNumber(number)
      else { return false }
      let (offset, overflows) = value.subtractingReportingOverflow(range.start)
      guard !overflows, range.count > 0 else { return false }
      let (steps, isBeyond) = offset.dividedReportingOverflow(by: range.step)
      return !isBeyond && steps &* range.step == offset && 0..<range.count ~= steps
    case .object(let object):
      if let view = object as? MappingView {
        switch view.part {
        case .keys: return view.mapping.entries[try key(element)] != nil
        case .items:
          guard case .tuple(let pair) = element, pair.elements.count == 2,
            pair.elements[0].isHashable,
            let value = view.mapping.entries[try key(pair.elements[0])]
          else { return false }
          return try equal(value, pair.elements[1])
        case .values: break
        }
      }
    default: break
    }
    let elements = try iterator(whole)
    while let next = try elements.next() {
      if try areAlike(next, element) { return true }
    }
    return false
  }

  private func wholeNumber(_ number: Number) -> Value? {
    guard case .real(let real) = number, real.isFinite, real == real.rounded() else { return nil }
    return Number.big(BigInteger(real)).value
  }
}
