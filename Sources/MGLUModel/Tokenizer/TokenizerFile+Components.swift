/// The components around the model in a `tokenizer.json`.
extension TokenizerFile {
  /// A normalizer, pre-tokenizer, post-processor or decoder: its type, and the settings of all
  /// types that are understood.
  struct Component: Codable, Sendable {
    var type: String
    // ByteLevel
    var addPrefixSpace: Bool?
    var trimOffsets: Bool?
    var useRegex: Bool?
    // Digits
    var individualDigits: Bool?
    // Split, Replace
    var pattern: [String: String]?
    var behavior: String?
    var invert: Bool?
    // Replace, Strip of decoders
    var content: String?
    var start: Int?
    var stop: Int?
    // Prepend, Strip of normalizers
    var prepend: String?
    var stripLeft: Bool?
    var stripRight: Bool?
    // Metaspace
    var replacement: String?
    var prependScheme: String?
    var split: Bool?
    // Sequence, as each kind of component spells it
    var normalizers: [Component]?
    var preTokenizers: [Component]?
    var processors: [Component]?
    var decoders: [Component]?
    // TemplateProcessing
    var single: [[String: Piece]]?
    var pair: [[String: Piece]]?
    var specialTokens: [String: SpecialToken]?

    /// A token or a sequence in a template.
    struct Piece: Codable, Sendable {
      var id: String
      var type = 0
      enum CodingKeys: String, CodingKey {
        case id
        case type = "type_id"
      }
    }

    struct SpecialToken: Codable, Sendable {
      var id: String
      var ids: [Int32]
      var tokens: [String]
    }

    enum CodingKeys: String, CodingKey {
      case type
      case addPrefixSpace = "add_prefix_space"
      case trimOffsets = "trim_offsets"
      case useRegex = "use_regex"
      case individualDigits = "individual_digits"
      case pattern
      case behavior
      case invert
      case content
      case start
      case stop
      case prepend
      case stripLeft = "strip_left"
      case stripRight = "strip_right"
      case replacement
      case prependScheme = "prepend_scheme"
      case split
      case normalizers
      case preTokenizers = "pretokenizers"
      case processors
      case decoders
      case single
      case pair
      case specialTokens = "special_tokens"
    }

    static let byteLevel = Component(
      type: "ByteLevel", addPrefixSpace: false, trimOffsets: true, useRegex: true)
    static let byteLevelWithoutPattern = Component(
      type: "ByteLevel", addPrefixSpace: false, trimOffsets: true, useRegex: false)

    static func digits(individual: Bool) -> Component {
      Component(type: "Digits", individualDigits: individual)
    }

    static func split(_ pattern: String) -> Component {
      Component(type: "Split", pattern: ["Regex": pattern], behavior: "Isolated", invert: false)
    }

    static func sequence(_ parts: [Component]) -> Component {
      Component(type: "Sequence", preTokenizers: parts)
    }

    /// The components of a sequence and of sequences within it, or this one.
    func flattened(_ parts: KeyPath<Component, [Component]?>) -> [Component] {
      type == "Sequence" ? (self[keyPath: parts] ?? []).flatMap { $0.flattened(parts) } : [self]
    }

    /// The longest text that takes the place of another.
    private static let longestText = 256

    /// A text that the type must have.
    func required(_ text: KeyPath<Component, String?>) throws(TokenizerError) -> String {
      guard let text = self[keyPath: text] else {
        throw TokenizerError(.malformed, "\(type) lacks a text")
      }
      guard text.utf8.count <= Self.longestText else {
        throw TokenizerFile.unsupported("a text of \(text.utf8.count) bytes in \(type)")
      }
      return text
    }

    /// The pattern of a type that must have one.
    func textPattern() throws(TokenizerError) -> TextPattern {
      try TokenizerFile.pattern { () throws(PatternParser.Problem) in
        if let text = pattern?["Regex"] { return try TextPattern(text) }
        if let text = pattern?["String"] { return try TextPattern(literal: text) }
        throw PatternParser.Problem(reason: "neither Regex nor String")
      }
    }

    /// The behavior of a type that has one.
    func splitBehavior(default standard: SplitBehavior?) throws(TokenizerError) -> SplitBehavior {
      guard let behavior else {
        if let standard { return standard }
        throw TokenizerError(.malformed, "\(type) lacks a behavior")
      }
      guard let result = SplitBehavior(rawValue: behavior) else {
        throw TokenizerFile.unsupported("the behavior \(behavior)")
      }
      return result
    }
  }
}
