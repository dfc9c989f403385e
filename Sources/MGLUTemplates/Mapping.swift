import OrderedCollections

/// A mapping in the order of its keys.
final class Mapping {
  let entries: OrderedDictionary<MappingKey, Value>
  let depth: Int
  private let memory: TemplateMemory

  init(_ entries: OrderedDictionary<MappingKey, Value>, in memory: TemplateMemory) {
    (self.entries, self.memory) = (entries, memory)
    depth =
      1
      + max(
        entries.values.lazy.map(\.depth).max() ?? 0, entries.keys.lazy.map(\.value.depth).max() ?? 0
      )
    memory.used += 80 * entries.count + 128
  }

  deinit { memory.used -= 80 * entries.count + 128 }

  subscript(name: String) -> Value? { entries[MappingKey(name, in: memory)] }
}

/// A value as a key: 1, 1.0 and true are one, and strings are equal scalar by scalar.
struct MappingKey: Hashable {
  /// A value that Python can hash: no list and no mapping lies in it.
  let value: Value

  init(hashable value: Value) { self.value = value }

  init(_ name: String, in memory: TemplateMemory) {
    value = .string(Text(name, isMarkup: false, in: memory))
  }

  static func == (a: Self, b: Self) -> Bool {
    switch (a.value, b.value) {
    case (.undefined, .undefined), (.none, .none): true
    case (.string(let a), .string(let b)): a.string.utf8.elementsEqual(b.string.utf8)
    case (.tuple(let a), .tuple(let b)):
      a.elements.count == b.elements.count
        && zip(a.elements, b.elements).allSatisfy { Self(hashable: $0) == Self(hashable: $1) }
    case (.range(let a), .range(let b)): a.equals(b)
    case (.object(let a), .object(let b)): a === b
    default:
      if let a = a.value.number, let b = b.value.number { a.equals(b) } else { false }
    }
  }

  func hash(into hasher: inout Hasher) {
    switch value {
    case .string(let text):
      var string = text.string
      string.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    case .tuple(let values):
      for value in values.elements { Self(hashable: value).hash(into: &hasher) }
    case .object(let object): hasher.combine(ObjectIdentifier(object))
    case .range(let range): hasher.combine(range.count)
    case .undefined, .none, .list, .mapping: break
    case .boolean, .integer, .big, .real:
      // Equal numbers of different kinds are equal as floats.
      hasher.combine(value.number?.real)
    }
  }
}

extension RangeValue {
  func equals(_ other: RangeValue) -> Bool {
    count == other.count
      && (count == 0 || start == other.start && (count == 1 || step == other.step))
  }
}
