/// The sets of scalars that patterns name.
enum UnicodeProperty {
  static let space = ScalarSetExpression.union([
    .kinds(ScalarKind.separators), .ranges([0x9...0xd, 0x85...0x85]),
  ])
  static let digit = ScalarSetExpression.kinds(kinds("nd"))
  /// Letters, marks, digits and connectors: what words consist of.
  static let word = ScalarSetExpression.kinds(
    ScalarKind.alphabetic | ScalarKind.marks | kinds("nd") | kinds("pc"))
  /// `\w`: also the superscripts and fractions of Latin-1, as Oniguruma has it.
  static let patternWord = ScalarSetExpression.union([
    word, .ranges([0xb2...0xb3, 0xb9...0xb9, 0xbc...0xbe]),
  ])
  static let hexDigit = ScalarSetExpression.ranges([0x30...0x39, 0x41...0x46, 0x61...0x66])
  private static let alphabetic = ScalarSetExpression.kinds(ScalarKind.alphabetic)

  private static func kinds(_ category: String) -> ScalarKind.Set {
    ScalarKind.set(named: category) ?? 0
  }

  /// The set of `\p{name}`: a general category, a script or one of a few more. Case, spaces, hyphens
  /// and underscores do not count.
  static func named(_ name: String) -> ScalarSetExpression? {
    let name = String(name.lowercased().filter { !" -_".contains($0) })
    if let set = ScalarKind.set(named: categories[name] ?? name) { return .kinds(set) }
    if let ranges = UnicodeTables.shared.scripts[name] { return .ranges(ranges) }
    switch name {
    case "any": return .complement(.ranges([]))
    case "alphabetic": return alphabetic
    case "whitespace": return space
    case "punct": return .kinds(kinds("p"))
    default: return posix(name)
    }
  }

  /// The set of `[:name:]`.
  static func posix(_ name: String) -> ScalarSetExpression? {
    switch name {
    case "alpha": alphabetic
    case "alnum": .kinds(ScalarKind.alphabetic | kinds("nd"))
    case "ascii": .ranges([0...0x7f])
    case "blank": .union([.kinds(kinds("zs")), .scalar(9)])
    case "cntrl": .kinds(kinds("cc"))
    case "digit": digit
    case "punct": .kinds(kinds("p") | kinds("s"))
    case "space": space
    case "word": patternWord
    case "xdigit": hexDigit
    default: nil
    }
  }

  /// Categories by their long names.
  private static let categories = [
    "letter": "l", "uppercaseletter": "lu", "lowercaseletter": "ll", "titlecaseletter": "lt",
    "modifierletter": "lm", "otherletter": "lo", "mark": "m", "nonspacingmark": "mn",
    "spacingmark": "mc", "enclosingmark": "me", "number": "n", "decimalnumber": "nd",
    "letternumber": "nl", "othernumber": "no", "punctuation": "p", "connectorpunctuation": "pc",
    "dashpunctuation": "pd", "openpunctuation": "ps", "closepunctuation": "pe",
    "initialpunctuation": "pi", "finalpunctuation": "pf", "otherpunctuation": "po", "symbol": "s",
    "mathsymbol": "sm", "currencysymbol": "sc", "modifiersymbol": "sk", "othersymbol": "so",
    "separator": "z", "spaceseparator": "zs", "lineseparator": "zl", "paragraphseparator": "zp",
    "other": "c", "control": "cc", "format": "cf", "surrogate": "cs", "privateuse": "co",
    "unassigned": "cn",
  ]
}
