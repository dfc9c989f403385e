/// A set of scalars as a pattern describes it.
indirect enum ScalarSetExpression: Sendable {
  case ranges([ClosedRange<UInt32>])
  case kinds(ScalarKind.Set)
  case union([ScalarSetExpression])
  case intersection(ScalarSetExpression, ScalarSetExpression)
  case complement(ScalarSetExpression)

  /// The kinds of scalars that belong to the set, among scalars that lie in the same ranges as `scalar`.
  fileprivate func kinds(near scalar: UInt32) -> ScalarKind.Set {
    switch self {
    case .ranges(let ranges): ranges.contains { $0.contains(scalar) } ? ScalarKind.all : 0
    case .kinds(let set): set
    case .union(let parts): parts.reduce(0) { $0 | $1.kinds(near: scalar) }
    case .intersection(let a, let b): a.kinds(near: scalar) & b.kinds(near: scalar)
    case .complement(let set): ~set.kinds(near: scalar)
    }
  }

  /// The scalars at which a range begins, or that follow one.
  fileprivate var borders: [UInt32] {
    switch self {
    case .ranges(let ranges): ranges.flatMap { [$0.lowerBound, $0.upperBound + 1] }
    case .kinds: []
    case .union(let parts): parts.flatMap(\.borders)
    case .intersection(let a, let b): a.borders + b.borders
    case .complement(let set): set.borders
    }
  }
}

/// A set of scalars, made for asking.
struct ScalarSet: Sendable {
  /// A bit for each scalar below U+0100.
  private let latin: (UInt64, UInt64, UInt64, UInt64)
  /// The kinds that belong to the set from a scalar on, until that of the next entry.
  private let starts: [UInt32]
  private let kinds: [ScalarKind.Set]

  init(_ expression: ScalarSetExpression) {
    var starts: [UInt32] = []
    var kinds: [ScalarKind.Set] = []
    for start in Set(expression.borders + [0]).sorted() {
      let set = expression.kinds(near: start)
      if kinds.last != set {
        starts.append(start)
        kinds.append(set)
      }
    }
    self.starts = starts
    self.kinds = kinds
    var words: [UInt64] = [0, 0, 0, 0]
    for scalar in UInt32(0)..<256 where Self.contains(scalar, starts, kinds) {
      words[Int(scalar / 64)] |= 1 << UInt64(scalar % 64)
    }
    latin = (words[0], words[1], words[2], words[3])
  }

  /// Whether an ASCII byte belongs to the set.
  @inline(__always)
  func contains(ascii byte: UInt8) -> Bool {
    (byte < 64 ? latin.0 : latin.1) >> UInt64(byte & 63) & 1 != 0
  }

  @inline(__always)
  func contains(_ scalar: UInt32) -> Bool {
    if scalar >= 0x100 { return Self.contains(scalar, starts, kinds) }
    let word = scalar < 128 ? (scalar < 64 ? latin.0 : latin.1) : scalar < 192 ? latin.2 : latin.3
    return word >> UInt64(scalar & 63) & 1 != 0
  }

  private static func contains(
    _ scalar: UInt32, _ starts: [UInt32], _ kinds: [ScalarKind.Set]
  ) -> Bool {
    var (low, high) = (0, starts.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= scalar { low = middle } else { high = middle }
    }
    return kinds[low] >> UInt64(ScalarKind.of(scalar)) & 1 != 0
  }
}

extension ScalarSetExpression {
  static func scalar(_ value: UInt32) -> Self { .ranges([value...value]) }

  /// The set with the other cases of its scalars.
  var ofAnyCase: Self {
    let set = ScalarSet(self)
    let added = CaseFolding.groups.filter { $0.contains { set.contains($0) } }.flatMap(\.self)
    return added.isEmpty ? self : .union([self, .ranges(added.map { $0...$0 })])
  }
}

/// Scalars that are the same but for case.
private enum CaseFolding {
  static let groups: [[UInt32]] = {
    let cased =
      (ScalarKind.set(named: "lu") ?? 0) | (ScalarKind.set(named: "ll") ?? 0)
      | (ScalarKind.set(named: "lt") ?? 0) | ScalarKind.alphabetic
    var groups: [UInt32: [UInt32]] = [:]
    for value in UInt32(0)..<0x1e944 where cased >> UInt64(ScalarKind.of(value)) & 1 != 0 {
      // The i of Turkish has no other case without its language.
      guard value != 0x130, value != 0x131, let scalar = Unicode.Scalar(value),
        scalar.properties.changesWhenCaseMapped
      else { continue }
      groups[folded(scalar), default: []].append(value)
    }
    return groups.values.filter { $0.count > 1 }
  }()

  /// The lower case of the upper case, where each is one scalar.
  private static func folded(_ scalar: Unicode.Scalar) -> UInt32 {
    func single(_ mapping: String) -> Unicode.Scalar? {
      mapping.unicodeScalars.count == 1 ? mapping.unicodeScalars.first : nil
    }
    let upper = single(scalar.properties.uppercaseMapping) ?? scalar
    return (single(upper.properties.lowercaseMapping) ?? upper).value
  }
}
