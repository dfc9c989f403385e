import OrderedCollections

/// A value in a template, with the meaning that Python gives it.
public enum TemplateValue: Sendable {
  /// A missing value, and the name that the template used for it.
  case undefined(String)
  case none
  case boolean(Bool)
  case integer(Int)
  case real(Double)
  case string(String)
  case list([TemplateValue])
  case mapping(OrderedDictionary<String, TemplateValue>)
  /// The place of a `namespace(...)` in the rendering that made it.
  case namespace(Int)
  /// The place of a macro in the rendering that met it.
  case macro(Int)
  /// A function that every template has.
  case function(TemplateFunction)

  /// The name of the value's kind in messages.
  var kind: String {
    switch self {
    case .undefined: "undefined"
    case .none: "none"
    case .boolean: "a boolean"
    case .integer, .real: "a number"
    case .string: "a string"
    case .list: "a list"
    case .mapping: "a mapping"
    case .namespace: "a namespace"
    case .macro, .function: "a function"
    }
  }

  /// Whether `{% if value %}` holds.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .boolean(let value): value
    case .integer(let value): value != 0
    case .real(let value): value != 0
    case .string(let string): !string.isEmpty
    case .list(let values): !values.isEmpty
    case .mapping(let values): !values.isEmpty
    case .namespace, .macro, .function: true
    }
  }

  /// Whether the value is there; `none` is.
  var isDefined: Bool { if case .undefined = self { false } else { true } }

  /// Numbers and booleans, which are numbers too.
  var number: TemplateNumber? {
    switch self {
    case .boolean(let value): .integer(value ? 1 : 0)
    case .integer(let value): .integer(value)
    case .real(let value): .real(value)
    default: nil
    }
  }

  /// An integer, or a boolean as one.
  var integer: Int? { if case .integer(let value) = number { value } else { nil } }

  /// Most values in a value, how deep they may lie in each other, and most bytes of their strings.
  private static let mostValues = 200_000
  private static let deepest = 64
  static let mostBytes = 32 << 20

  /// How much it takes to look at the value: the bytes of a string, the values in a list. `nil` for a
  /// value that is too large; values that share their parts may be so without taking memory.
  var size: Int? {
    if case .string(let string) = self { return string.utf8.count }
    var (count, bytes) = (0, 0)
    return isSmall(&count, &bytes, depth: 0) ? count : nil
  }

  /// Adds up values and bytes as long as they are not too many.
  private func isSmall(_ count: inout Int, _ bytes: inout Int, depth: Int) -> Bool {
    count += 1
    if case .string(let string) = self { bytes += string.utf8.count }
    guard count <= Self.mostValues, bytes <= Self.mostBytes, depth <= Self.deepest else {
      return false
    }
    switch self {
    case .list(let values):
      return values.allSatisfy { $0.isSmall(&count, &bytes, depth: depth + 1) }
    case .mapping(let values):
      return values.allSatisfy { key, value in
        bytes += key.utf8.count
        return value.isSmall(&count, &bytes, depth: depth + 1)
      }
    default: return true
    }
  }

  /// How many lists and mappings lie in each other at most.
  var nesting: Int {
    switch self {
    case .list(let values): 1 + (values.map(\.nesting).max() ?? 0)
    case .mapping(let values): 1 + (values.values.map(\.nesting).max() ?? 0)
    default: 0
    }
  }

  /// The elements that a loop visits; `nil` for a value without elements.
  var elements: [TemplateValue]? {
    switch self {
    case .undefined: []
    case .string(let string): string.unicodeScalars.map { .string(String($0)) }
    case .list(let values): values
    case .mapping(let values): values.keys.map(TemplateValue.string)
    default: nil
    }
  }
}

/// A number of either kind.
enum TemplateNumber {
  case integer(Int)
  case real(Double)

  var real: Double {
    switch self {
    case .integer(let value): Double(value)
    case .real(let value): value
    }
  }

  var value: TemplateValue {
    switch self {
    case .integer(let value): .integer(value)
    case .real(let value): .real(value)
    }
  }
}

extension TemplateValue: Equatable {
  /// Python's `==`: strings are equal when their scalars are, and 1, 1.0 and true are equal.
  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): true
    case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
    case (.list(let a), .list(let b)): a == b
    case (.mapping(let a), .mapping(let b)):
      a.count == b.count && a.allSatisfy { key, value in b[key] == value }
    case (.namespace(let a), .namespace(let b)), (.macro(let a), .macro(let b)): a == b
    case (.function(let a), .function(let b)): a == b
    default:
      switch (a.number, b.number) {
      case (.integer(let a)?, .integer(let b)?): a == b
      case (let a?, let b?): a.real == b.real
      default: false
      }
    }
  }
}

extension TemplateValue: Decodable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Most values of a document, and how deep they may lie in each other. A decoder does not tell the
  /// kind of a value: `init(from:)` tries one kind after the other, and the cost of a failure grows
  /// with the depth of the value.
  private static let mostDecoded = 1000
  private static let deepestDecoded = 16

  /// Any JSON of at most 1000 values, 16 of which may lie in each other.
  public init(from decoder: any Decoder) throws {
    var left = Self.mostDecoded
    self = try Self.read(decoder, depth: 0, &left)
  }

  private static func read(
    _ decoder: any Decoder, depth: Int, _ left: inout Int
  ) throws -> TemplateValue {
    guard left > 0, depth < deepestDecoded else {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: decoder.codingPath,
          debugDescription: "is too much: expected at most \(mostDecoded) values, "
            + "\(deepestDecoded) deep"))
    }
    left -= 1
    if var values = try? decoder.unkeyedContainer() {
      var list: [TemplateValue] = []
      while !values.isAtEnd {
        list.append(try read(try values.superDecoder(), depth: depth + 1, &left))
      }
      return .list(list)
    }
    if let values = try? decoder.container(keyedBy: Key.self) {
      var mapping: OrderedDictionary<String, TemplateValue> = [:]
      for key in values.allKeys.sorted(by: { $0.stringValue < $1.stringValue }) {
        mapping[key.stringValue] =
          try read(try values.superDecoder(forKey: key), depth: depth + 1, &left)
      }
      return .mapping(mapping)
    }
    let value = try decoder.singleValueContainer()
    if value.decodeNil() { return .none }
    if let string = try? value.decode(String.self) { return .string(string) }
    if let integer = try? value.decode(Int.self) { return .integer(integer) }
    if let real = try? value.decode(Double.self) { return .real(real) }
    return .boolean(try value.decode(Bool.self))
  }
}
