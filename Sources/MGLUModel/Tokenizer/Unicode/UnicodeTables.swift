internal import CMGLUResources

/// Decompositions, combining classes and scripts, as the `tokenizers` package knows them.
struct UnicodeTables: Sendable {
  /// Canonical decompositions, one step.
  private(set) var canonical: [UInt32: [UInt32]] = [:]
  /// Decompositions of compatibility, one step.
  private(set) var compatible: [UInt32: [UInt32]] = [:]
  /// The composite of a scalar (upper half of the key) and the one after it.
  private(set) var composites: [UInt64: UInt32] = [:]
  /// Combining classes other than 0.
  private(set) var classes: [UInt32: UInt8] = [:]
  /// The scalars of each script, by its name in lower case, and the "punctuation" of the
  /// pre-tokenizer of that name, which is older than the category.
  private(set) var scripts: [String: [ClosedRange<UInt32>]] = [:]

  static let shared = UnicodeTables(text: String(cString: cmglu_unicode_tables()))

  /// Reads the text that Tests/Reference/unicode_tables.py describes.
  private init(text: String) {
    var code: UInt32 = 0
    for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
      let fields = line.dropFirst().split(
        separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
      guard let kind = line.first, let name = fields.first else { continue }
      switch kind {
      case UInt8(ascii: "^"):
        let number = UInt8(Self.number(name))
        for range in fields.dropFirst().map(Self.range) {
          for code in range { classes[code] = number }
        }
      case UInt8(ascii: "@"):
        scripts[String(Substring(name)).lowercased()] = fields.dropFirst().map(Self.range)
      default:
        code = name.isEmpty ? code + 1 : Self.number(name)
        let parts = fields.dropFirst().map(Self.number)
        if kind == UInt8(ascii: "~") {
          compatible[code] = parts
        } else {
          canonical[code] = parts
          if kind == UInt8(ascii: "="), parts.count == 2 {
            composites[UInt64(parts[0]) << 32 | UInt64(parts[1])] = code
          }
        }
      }
    }
  }

  private static func number(_ field: Substring.UTF8View) -> UInt32 {
    field.reduce(0) { $0 << 4 | UInt32($1 < 0x41 ? $1 - 0x30 : $1 - 0x37) }
  }

  private static func range(_ field: Substring.UTF8View) -> ClosedRange<UInt32> {
    let ends = field.split(separator: UInt8(ascii: "-")).map(number)
    return (ends.first ?? 0)...(ends.last ?? 0)
  }
}
