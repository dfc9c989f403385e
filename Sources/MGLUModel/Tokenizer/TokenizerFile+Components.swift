/// The components around the model in a `tokenizer.json`.
extension TokenizerFile {
  /// A normalizer, pre-tokenizer, post-processor or model: its type, and the settings of all
  /// types that are understood.
  struct Component: Codable, Equatable {
    var type: String
    // ByteLevel
    var addPrefixSpace: Bool?
    var trimOffsets: Bool?
    var useRegex: Bool?
    // Digits
    var individualDigits: Bool?
    // Split
    var pattern: [String: String]?
    var behavior: String?
    var invert: Bool?
    // Sequence, as each kind of component spells it
    var normalizers: [Component]?
    var preTokenizers: [Component]?
    var processors: [Component]?
    // TemplateProcessing
    var single: [[String: Piece]]?
    var pair: [[String: Piece]]?
    var specialTokens: [String: SpecialToken]?

    /// A token or a sequence in a template.
    struct Piece: Codable, Equatable {
      var id: String
      var type = 0
      enum CodingKeys: String, CodingKey {
        case id
        case type = "type_id"
      }
    }

    struct SpecialToken: Codable, Equatable {
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
      case normalizers
      case preTokenizers = "pretokenizers"
      case processors
      case single
      case pair
      case specialTokens = "special_tokens"
    }

    static let byteLevel = Component(
      type: "ByteLevel", addPrefixSpace: false, trimOffsets: true, useRegex: true)

    /// The components of a sequence, or this one.
    var parts: [Component] {
      type == "Sequence" ? normalizers ?? preTokenizers ?? processors ?? [] : [self]
    }
  }

  static func unsupported(_ what: String) -> TokenizerError {
    TokenizerError(
      .unsupported,
      "\(what) is not understood: expected byte-level BPE as GPT-2, Llama 3, Qwen or SmolLM have it"
    )
  }

  func checkModel() throws(TokenizerError) {
    if let type = model.type, type != "BPE" { throw Self.unsupported("a \(type) model") }
    if model.dropout ?? 0 != 0 { throw Self.unsupported("dropout") }
    if model.byteFallback == true { throw Self.unsupported("byte_fallback") }
    if !(model.prefix ?? "").isEmpty || !(model.suffix ?? "").isEmpty {
      throw Self.unsupported("a subword prefix or suffix")
    }
    for token in added ?? []
    where token.leftStrip == true || token.rightStrip == true || token.singleWord == true {
      throw Self.unsupported("the added token \(token.content) with lstrip, rstrip or single_word")
    }
  }

  func composesText() throws(TokenizerError) -> Bool {
    let types = normalizer?.parts.map(\.type) ?? []
    if let other = types.first(where: { $0 != "NFC" }) {
      throw Self.unsupported("the normalizer \(other)")
    }
    return !types.isEmpty
  }

  func understoodPreTokenizer() throws(TokenizerError) -> PreTokenizer {
    let parts = preTokenizer?.parts ?? []
    guard let last = parts.last, last.type == "ByteLevel" else {
      throw Self.unsupported("the pre-tokenizer \(preTokenizer?.type ?? "null") without ByteLevel")
    }
    if last.addPrefixSpace ?? true { throw Self.unsupported("add_prefix_space") }
    let usesPattern = last.useRegex ?? true
    let first = parts.dropLast().first
    switch (parts.count, first?.type) {
    case (1, _) where usesPattern: return .gpt2
    case (2, "Digits") where usesPattern && first?.individualDigits == true:
      return .gpt2SingleDigits
    case (2, "Split") where !usesPattern && first?.behavior == "Isolated" && first?.invert != true:
      switch first?.pattern?["Regex"] {
      case WordScanner.llama3Pattern: return .llama3
      case WordScanner.qwen2Pattern: return .qwen2
      case let pattern:
        throw Self.unsupported("the pattern \(pattern ?? first?.pattern?["String"] ?? "null")")
      }
    default:
      let types = parts.map(\.type).joined(separator: ", ")
      throw Self.unsupported("the pre-tokenizer [\(types)] with these settings")
    }
  }

  /// The tokens that the post-processor puts before a sequence.
  func textStart(_ added: [Tokenizer.AddedToken]) throws(TokenizerError) -> [Int32] {
    var start: [Int32] = []
    for part in postProcessor?.parts ?? [] where part.type != "ByteLevel" {
      guard part.type == "TemplateProcessing", let pieces = part.single else {
        throw Self.unsupported("the post-processor \(part.type)")
      }
      guard let sequence = pieces.last?["Sequence"], sequence.id == "A" else {
        throw Self.unsupported("a template that puts tokens after the sequence")
      }
      for piece in pieces.dropLast() {
        let name = piece["SpecialToken"]?.id ?? ""
        guard let ids = part.specialTokens?[name]?.ids,
          ids.allSatisfy({ id in added.contains { $0.id == id } })
        else { throw TokenizerError(.malformed, "the template's \(name) is no added token") }
        start += ids
      }
    }
    return start
  }
}

extension TokenizerFile.Component {
  /// The component that cuts text as `preTokenizer` does.
  init(_ preTokenizer: PreTokenizer) {
    var unpatterned = Self.byteLevel
    unpatterned.useRegex = false
    func split(_ pattern: String) -> Self {
      Self(type: "Split", pattern: ["Regex": pattern], behavior: "Isolated", invert: false)
    }
    let parts: [Self] =
      switch preTokenizer {
      case .gpt2: [.byteLevel]
      case .gpt2SingleDigits: [Self(type: "Digits", individualDigits: true), .byteLevel]
      case .llama3: [split(WordScanner.llama3Pattern), unpatterned]
      case .qwen2: [split(WordScanner.qwen2Pattern), unpatterned]
      }
    self = parts.count == 1 ? parts[0] : Self(type: "Sequence", preTokenizers: parts)
  }

  /// The template that puts `textStart` before a sequence, or `nil` for no tokens.
  init?(textStart: [Int32], of tokenizer: Tokenizer) {
    let tokens = tokenizer.addedTokens.filter { textStart.contains($0.id) }
    let names = textStart.compactMap { id in tokens.first { $0.id == id }?.content }
    guard !names.isEmpty else { return nil }
    self.init(type: "TemplateProcessing")
    let start = names.map { ["SpecialToken": Piece(id: $0)] }
    single = start + [["Sequence": Piece(id: "A")]]
    pair = (single ?? []) + [["Sequence": Piece(id: "B", type: 1)]]
    specialTokens = Dictionary(
      tokens.map { ($0.content, SpecialToken(id: $0.content, ids: [$0.id], tokens: [$0.content])) },
      uniquingKeysWith: { first, _ in first })
  }
}
