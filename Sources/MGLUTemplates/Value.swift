/// A value while a template renders, with the meaning that Python gives it. Values never change, except
/// the objects that say so; what is large is shared and counted (`TemplateMemory`).
enum Value {
  /// A missing value.
  case undefined(Undefined)
  case none
  case boolean(Bool)
  case integer(Int)
  /// An integer beyond 64 bits.
  case big(BigValue)
  case real(Double)
  case string(Text)
  case list(Elements)
  case tuple(Elements)
  case mapping(Mapping)
  case range(RangeValue)
  case object(TemplateObject)

  static func undefined(_ name: String) -> Value { .undefined(Undefined("\(name) is not defined")) }

  /// The name of the value's kind in messages.
  var kind: String {
    switch self {
    case .undefined: "undefined"
    case .none: "none"
    case .boolean: "a boolean"
    case .integer, .big: "an integer"
    case .real: "a float"
    case .string: "a string"
    case .list: "a list"
    case .tuple: "a tuple"
    case .mapping: "a mapping"
    case .range: "a range"
    case .object(let object): object.kind
    }
  }

  /// Whether `{% if value %}` holds.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .boolean(let value): value
    case .integer(let value): value != 0
    case .big: true
    case .real(let value): value != 0
    case .string(let text): !text.string.isEmpty
    case .list(let values), .tuple(let values): !values.elements.isEmpty
    case .mapping(let mapping): !mapping.entries.isEmpty
    case .range(let range): range.count > 0
    case .object(let object): object.isTrue
    }
  }

  /// Whether the value is there; `none` is.
  var isDefined: Bool { if case .undefined = self { false } else { true } }

  /// How deep values lie in the value at most.
  var depth: Int {
    switch self {
    case .list(let values), .tuple(let values): values.depth
    case .mapping(let mapping): mapping.depth
    case .object(let object): object.depth
    default: 0
    }
  }

  /// Numbers and booleans, which are numbers too.
  var number: Number? {
    switch self {
    case .boolean(let value): .integer(value ? 1 : 0)
    case .integer(let value): .integer(value)
    case .big(let value): .big(value.integer)
    case .real(let value): .real(value)
    default: nil
    }
  }

  /// An integer of 64 bits, or a boolean as one.
  var index: Int? { if case .integer(let value)? = number { value } else { nil } }

  /// The text of a string.
  var text: String? { if case .string(let text) = self { text.string } else { nil } }
}

/// A missing value, and what is missing.
final class Undefined {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

final class BigValue {
  let integer: BigInteger
  init(_ integer: BigInteger) { self.integer = integer }
}

/// A string.
final class Text {
  let string: String
  /// Whether the string counts as HTML, which is not escaped again.
  let isMarkup: Bool
  private let memory: TemplateMemory

  init(_ string: String, isMarkup: Bool, in memory: TemplateMemory) {
    (self.string, self.isMarkup, self.memory) = (string, isMarkup, memory)
    memory.used += string.utf8.count + 64
  }

  deinit { memory.used -= string.utf8.count + 64 }
}

/// The elements of a list or a tuple.
final class Elements {
  let elements: [Value]
  let depth: Int
  /// Names of the elements of a tuple that has some.
  let names: [String]
  private let memory: TemplateMemory

  init(_ elements: [Value], names: [String] = [], in memory: TemplateMemory) {
    (self.elements, self.names, self.memory) = (elements, names, memory)
    depth = 1 + (elements.lazy.map(\.depth).max() ?? 0)
    memory.used += 16 * elements.count + 96
  }

  deinit { memory.used -= 16 * elements.count + 96 }
}

/// A range of integers, whose elements are made as they are asked for.
final class RangeValue {
  let start: Int
  let stop: Int
  let step: Int
  let count: Int

  /// A range, unless it is longer than machine integers reach; `step` is not 0.
  init?(_ start: Int, _ stop: Int, _ step: Int) {
    let isEmpty = step > 0 ? start >= stop : start <= stop
    var count = 0
    if !isEmpty {
      // The span may be larger than any machine integer.
      let span = UInt(bitPattern: step > 0 ? stop &- start : start &- stop)
      guard let steps = Int(exactly: (span - 1) / step.magnitude), steps < .max else { return nil }
      count = steps + 1
    }
    (self.start, self.stop, self.step, self.count) = (start, stop, step, count)
  }

  subscript(index: Int) -> Value { .integer(start &+ index &* step) }
}

/// A number of any kind.
enum Number {
  case integer(Int)
  case big(BigInteger)
  case real(Double)

  var real: Double {
    switch self {
    case .integer(let value): Double(value)
    case .big(let value): value.real
    case .real(let value): value
    }
  }

  /// The value as an integer of any size; `nil` for a float.
  var big: BigInteger? {
    switch self {
    case .integer(let value): BigInteger(value)
    case .big(let value): value
    case .real: nil
    }
  }

  var value: Value {
    switch self {
    case .integer(let value): .integer(value)
    case .big(let value): value.machineInteger.map(Value.integer) ?? .big(BigValue(value))
    case .real(let value): .real(value)
    }
  }
}

/// What the values of one rendering take.
final class TemplateMemory {
  /// The bytes in use.
  var used = 0
}
