import OrderedCollections

/// A value that a template is given: what JSON can say.
public indirect enum TemplateValue: Sendable {
  case none
  case boolean(Bool)
  case integer(Int)
  /// An integer beyond 64 bits, in decimal digits.
  case largeInteger(String)
  case real(Double)
  case string(String)
  case list([TemplateValue])
  /// A mapping in the order in which a template goes through it.
  case mapping(OrderedDictionary<String, TemplateValue>)
}

extension TemplateValue: Equatable {
  /// Whether both are written alike: strings scalar by scalar, mappings in any order.
  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.none, .none): true
    case (.boolean(let a), .boolean(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.real(let a), .real(let b)): a == b
    case (.string(let a), .string(let b)), (.largeInteger(let a), .largeInteger(let b)):
      a.utf8.elementsEqual(b.utf8)
    case (.list(let a), .list(let b)): a == b
    case (.mapping(let a), .mapping(let b)):
      a.count == b.count && a.allSatisfy { key, value in b[key] == value }
    default: false
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

  /// Any JSON of at most 1000 values, 16 of which may lie in each other. A decoder does not tell the
  /// order of keys either, so mappings are sorted; `init(json:)` keeps their order.
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
