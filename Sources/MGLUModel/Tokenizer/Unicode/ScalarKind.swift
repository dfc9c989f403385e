/// The general category of a scalar, and whether it is alphabetic, as a number below 64.
///
/// Scalars that are newer than Unicode 16 count as unassigned, as in the `tokenizers` package.
enum ScalarKind {
  /// Sets of kinds, a bit each.
  typealias Set = UInt64

  private static let newest: Unicode.Version = (16, 0)
  private static let alphabeticBit: UInt8 = 32

  /// The two-letter names of general categories, in the order of their numbers.
  private static let names = [
    "lu", "ll", "lt", "lm", "lo", "mn", "mc", "me", "nd", "nl", "no", "pc", "pd", "ps", "pe", "pi",
    "pf", "po", "sm", "sc", "sk", "so", "zs", "zl", "zp", "cc", "cf", "cs", "co", "cn",
  ]

  /// All kinds.
  static let all: Set = .max
  /// Alphabetic kinds.
  static let alphabetic: Set = 0xffff_ffff_0000_0000

  /// The kinds of a category, or of a group of categories such as `l`.
  static func set(named name: String) -> Set? {
    var set: Set = 0
    for (index, category) in names.enumerated() where category.hasPrefix(name) {
      set |= 1 << UInt64(index) | 1 << UInt64(index + 32)
    }
    return name.isEmpty || set == 0 ? nil : set
  }

  static let letters = set(named: "l") ?? 0
  static let marks = set(named: "m") ?? 0
  static let numbers = set(named: "n") ?? 0
  static let separators = set(named: "z") ?? 0

  /// The kind of a scalar.
  @inline(__always)
  static func of(_ scalar: UInt32) -> UInt8 {
    Int(scalar) < table.count ? table[Int(scalar)] : compute(scalar)
  }

  /// The kinds of all scalars that are common in text.
  private static let table: [UInt8] = (0..<0x32400).map(compute)

  private static func compute(_ value: UInt32) -> UInt8 {
    guard let scalar = Unicode.Scalar(value) else { return number(.surrogate) }
    let properties = scalar.properties
    // Unicode 17 counts this one as other.
    let category = value == 0x295 ? .lowercaseLetter : properties.generalCategory
    if category == .unassigned || category == .privateUse { return number(category) }
    guard let age = properties.age, age <= newest else { return number(.unassigned) }
    return number(category) | (properties.isAlphabetic ? alphabeticBit : 0)
  }

  private static func number(_ category: Unicode.GeneralCategory) -> UInt8 {
    switch category {
    case .uppercaseLetter: 0
    case .lowercaseLetter: 1
    case .titlecaseLetter: 2
    case .modifierLetter: 3
    case .otherLetter: 4
    case .nonspacingMark: 5
    case .spacingMark: 6
    case .enclosingMark: 7
    case .decimalNumber: 8
    case .letterNumber: 9
    case .otherNumber: 10
    case .connectorPunctuation: 11
    case .dashPunctuation: 12
    case .openPunctuation: 13
    case .closePunctuation: 14
    case .initialPunctuation: 15
    case .finalPunctuation: 16
    case .otherPunctuation: 17
    case .mathSymbol: 18
    case .currencySymbol: 19
    case .modifierSymbol: 20
    case .otherSymbol: 21
    case .spaceSeparator: 22
    case .lineSeparator: 23
    case .paragraphSeparator: 24
    case .control: 25
    case .format: 26
    case .surrogate: 27
    case .privateUse: 28
    case .unassigned: 29
    @unknown default: 29
    }
  }
}
