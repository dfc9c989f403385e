/// A normalization form of Unicode (UAX #15).
///
/// The standard library's own composition orders U+0F73, U+0F75 and U+0F81 wrongly and has no
/// compatibility forms; Foundation's would bring ICU with it on Linux.
enum NormalizationForm: String, Sendable, CaseIterable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var isCompatible: Bool { self == .nfkc || self == .nfkd }
  private var isComposed: Bool { self == .nfc || self == .nfkc }

  /// `text`, valid UTF-8, in this form. Linear, but for runs of marks, which it sorts.
  func apply(_ text: [UInt8]) -> [UInt8] {
    let bits = unstable
    let start = text.withUnsafeBufferPointer { bytes in
      // The scalar before the first unstable one may compose with it.
      var (index, before) = (0, 0)
      while index < bytes.count {
        let (value, length) = bytes.scalar(at: index)
        if bits.contains(value) { return before }
        before = index
        index += length
      }
      return bytes.count
    }
    guard start < text.count else { return text }
    var elements = decompose(text[start...])
    Self.order(&elements)
    if isComposed { Self.compose(&elements) }
    var result = Array(text[..<start])
    result.reserveCapacity(text.count)
    for element in elements { result.append(scalar: element.value) }
    return result
  }

  private struct Element {
    var value: UInt32
    var combiningClass: UInt8 = 0
  }

  private func decompose(_ text: ArraySlice<UInt8>) -> [Element] {
    let tables = UnicodeTables.shared
    let bits = Self.decomposing
    var result: [Element] = []
    result.reserveCapacity(text.count)
    func add(_ value: UInt32) {
      guard bits.contains(value) else { return result.append(Element(value: value)) }
      if Hangul.syllables.contains(value) {
        return result += Hangul.jamos(of: value).map { Element(value: $0) }
      }
      if let parts = tables.canonical[value] ?? (isCompatible ? tables.compatible[value] : nil) {
        return parts.forEach(add)
      }
      result.append(Element(value: value, combiningClass: tables.classes[value] ?? 0))
    }
    text.withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        let (value, length) = bytes.scalar(at: index)
        add(value)
        index += length
      }
    }
    return result
  }

  /// Sorts each run of marks by class; marks of one class keep their order.
  private static func order(_ elements: inout [Element]) {
    var start = 0
    while start < elements.count {
      var end = start
      while end < elements.count, elements[end].combiningClass != 0 { end += 1 }
      if end - start > 1 {
        let sorted = elements[start..<end].enumerated().sorted {
          ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
        }
        elements.replaceSubrange(start..<end, with: sorted.map(\.element))
      }
      start = end + 1
    }
  }

  /// Joins each mark or jamo with the starter before it, unless one of the same class or higher
  /// stands between.
  private static func compose(_ elements: inout [Element]) {
    var result: [Element] = []
    result.reserveCapacity(elements.count)
    var starter: Int?
    for element in elements {
      if let index = starter {
        let isNext = index == result.count - 1
        if isNext || result[result.count - 1].combiningClass < element.combiningClass,
          let composite = composite(result[index].value, element.value)
        {
          result[index].value = composite
          continue
        }
      }
      if element.combiningClass == 0 { starter = result.count }
      result.append(element)
    }
    elements = result
  }

  private static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
    Hangul.composite(first, second)
      ?? UnicodeTables.shared.composites[UInt64(first) << 32 | UInt64(second)]
  }
}

extension NormalizationForm {
  /// Scalars below U+30000 of a kind; there are none of interest above.
  private struct ScalarBits: Sendable {
    private var words = [UInt64](repeating: 0, count: 0x30000 / 64)

    init(_ values: some Sequence<UInt32>) {
      for value in values where value < 0x30000 {
        words[Int(value / 64)] |= 1 << UInt64(value % 64)
      }
    }

    @inline(__always)
    func contains(_ value: UInt32) -> Bool {
      value >= 0xa0 && value < 0x30000 && words[Int(value / 64)] >> UInt64(value % 64) & 1 != 0
    }
  }

  /// Scalars that have a decomposition or a combining class.
  private static let decomposing: ScalarBits = {
    let tables = UnicodeTables.shared
    return ScalarBits(
      Array(tables.canonical.keys) + tables.compatible.keys + tables.classes.keys
        + Hangul.syllables)
  }()

  /// Text without these is in the form already.
  private var unstable: ScalarBits {
    switch self {
    case .nfc: Self.unstableWhenComposed
    case .nfkc: Self.unstableWhenComposedCompatibly
    case .nfd, .nfkd: Self.decomposing
    }
  }

  private static let unstableWhenComposed = ScalarBits(composing(compatible: false))
  private static let unstableWhenComposedCompatibly = ScalarBits(composing(compatible: true))

  private static func composing(compatible: Bool) -> [UInt32] {
    let tables = UnicodeTables.shared
    let composites = Set(tables.composites.values)
    func isCompatible(_ value: UInt32) -> Bool {
      tables.compatible[value] != nil
        || tables.canonical[value]?.contains(where: isCompatible) == true
    }
    return tables.canonical.keys.filter {
      !composites.contains($0) || compatible && isCompatible($0)
    } + tables.classes.keys + tables.composites.keys.map { UInt32(truncatingIfNeeded: $0) }
      + (compatible ? Array(tables.compatible.keys) : []) + Array(Hangul.vowelsAndFinals)
  }
}

/// The syllables of Hangul, which compose by arithmetic.
private enum Hangul {
  static let syllables: ClosedRange<UInt32> = 0xac00...0xd7a3
  static let vowelsAndFinals: ClosedRange<UInt32> = 0x1161...0x11c2

  static func jamos(of syllable: UInt32) -> [UInt32] {
    let index = syllable - 0xac00
    let jamos = [0x1100 + index / 588, 0x1161 + index % 588 / 28]
    return index % 28 == 0 ? jamos : jamos + [0x11a7 + index % 28]
  }

  static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
    let (initial, vowel) = (first &- 0x1100, second &- 0x1161)
    if initial < 19, vowel < 21 { return 0xac00 + (initial * 21 + vowel) * 28 }
    let (syllable, final) = (first &- 0xac00, second &- 0x11a7)
    return syllable < 11172 && syllable % 28 == 0 && (1..<28).contains(final) ? first + final : nil
  }
}
