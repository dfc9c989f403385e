/// Byte-level byte-pair encoding: any text to token ids and back, without an unknown token.
///
/// A tokenizer is an immutable value: any number of threads may use it.
public struct Tokenizer: Sendable {
  /// A token that stands for itself wherever its text appears, such as the end of text.
  public struct AddedToken: Sendable, Equatable {
    /// Its id.
    public let id: Int32
    /// Its text.
    public let text: String
    /// Whether it is control rather than content.
    public let isSpecial: Bool
    /// Whether it is looked for in normalized text, after those that are not.
    public let isNormalized: Bool

    /// Creates an added token.
    public init(id: Int32, text: String, isSpecial: Bool = true, isNormalized: Bool = false) {
      self.id = id
      self.text = text
      self.isSpecial = isSpecial
      self.isNormalized = isNormalized
    }
  }

  /// What a merge of two tokens makes, and how early it is applied.
  struct Merge: Equatable {
    let rank: Int32
    let id: Int32
  }

  /// The text of the token that ends a document.
  public static let endOfTextText = "<|endoftext|>"

  /// How text is cut into words.
  public let preTokenizer: PreTokenizer
  /// Whether text is brought into Unicode's composed form (NFC) first.
  public let composesText: Bool
  /// Whether a word that is a token is that token, whatever the merges say.
  public let ignoresMerges: Bool
  /// Tokens that begin every text a model reads, such as `<|begin_of_text|>`;
  /// ``encode(_:parsingAddedTokens:)`` leaves them to its caller.
  public let textStart: [Int32]
  /// Added tokens by id.
  public let addedTokens: [AddedToken]
  /// One more than the highest id.
  public var vocabularySize: Int { tokenBytes.count }

  /// The bytes of each id; `nil` for an id that is no token.
  let tokenBytes: [[UInt8]?]
  /// The id of each single byte.
  let byteIDs: [Int32]
  let merges: [TokenPair: Merge]
  /// Ids by bytes, where merges are ignored for whole words.
  let wordIDs: [[UInt8]: Int32]
  private let matchers: (verbatim: AddedTokenMatcher, normalized: AddedTokenMatcher)
  private let specialIDs: Set<Int32>

  init(
    tokenBytes: [[UInt8]?], byteIDs: [Int32], merges: [TokenPair: Merge],
    addedTokens: [AddedToken], preTokenizer: PreTokenizer = .gpt2, composesText: Bool = false,
    ignoresMerges: Bool = false, textStart: [Int32] = []
  ) {
    self.tokenBytes = tokenBytes
    self.byteIDs = byteIDs
    self.merges = merges
    self.addedTokens = addedTokens.sorted { $0.id < $1.id }
    self.preTokenizer = preTokenizer
    self.composesText = composesText
    self.ignoresMerges = ignoresMerges
    self.textStart = textStart
    let added = Set(addedTokens.map(\.id))
    var wordIDs: [[UInt8]: Int32] = [:]
    if ignoresMerges {
      for (index, bytes) in tokenBytes.enumerated() where !added.contains(Int32(index)) {
        if let bytes { wordIDs[bytes] = Int32(index) }
      }
    }
    self.wordIDs = wordIDs
    matchers = (
      AddedTokenMatcher(addedTokens.filter { !$0.isNormalized }),
      AddedTokenMatcher(addedTokens.filter(\.isNormalized))
    )
    specialIDs = Set(addedTokens.filter(\.isSpecial).map(\.id))
  }

  /// The 256 bytes, each its own token with its own value as id, and the end of text as id 256.
  public static let bytes = Tokenizer(
    tokenBytes: (0..<256).map { [UInt8($0)] } + [Array(endOfTextText.utf8)],
    byteIDs: (0..<256).map(Int32.init), merges: [:],
    addedTokens: [AddedToken(id: 256, text: endOfTextText)])

  /// The id that ends a document: that of `<|endoftext|>`, `<|end_of_text|>` or `</s>`.
  public var eosTokenIDs: Int32? {
    for text in [Self.endOfTextText, "<|end_of_text|>", "</s>"] {
      if let token = addedTokens.first(where: { $0.text == text }) { return token.id }
    }
    return nil
  }

  /// Whether `id` is control rather than content.
  public func isSpecial(_ id: Int32) -> Bool { specialIDs.contains(id) }

  /// The bytes of `id`, or `nil` where it is no token. An added token's are its text.
  public func bytes(of id: Int32) -> [UInt8]? {
    tokenBytes.indices.contains(Int(id)) ? tokenBytes[Int(id)] : nil
  }

  /// The token ids of `text`.
  ///
  /// - Parameters:
  ///   - text: Any text.
  ///   - parsingAddedTokens: Whether the text of an added token means that token, as Hugging Face
  ///     tokenizers have it; otherwise it is text like any other.
  public func encode(_ text: String, parsingAddedTokens: Bool = true) -> [Int32] {
    var text = text
    return text.withUTF8 { encode(utf8: $0, parsingAddedTokens: parsingAddedTokens) }
  }

  /// The token ids of valid UTF-8.
  package func encode(
    utf8 text: UnsafeBufferPointer<UInt8>, parsingAddedTokens: Bool = true
  ) -> [Int32] {
    var encoder = WordEncoder(tokenizer: self, text: text)
    var ids: [Int32] = []
    let none = AddedTokenMatcher([])
    let (verbatim, normalized) = parsingAddedTokens ? matchers : (none, none)
    verbatim.forEachPart(of: text, in: 0..<text.count) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .text(let range):
        guard composesText, let composed = text[range].composed else {
          return encoder.encode(range, added: normalized, into: &ids)
        }
        composed.withUnsafeBufferPointer { composed in
          var encoder = WordEncoder(tokenizer: self, text: composed)
          encoder.encode(0..<composed.count, added: normalized, into: &ids)
        }
      }
    }
    return ids
  }

  /// The text of `ids`, with U+FFFD where bytes are not valid UTF-8. Ids that are no tokens give
  /// nothing.
  public func decode(
    _ ids: some Sequence<Int32>, skippingSpecialTokens: Bool = false
  ) -> String {
    var bytes: [UInt8] = []
    for id in ids where !(skippingSpecialTokens && isSpecial(id)) {
      bytes += self.bytes(of: id) ?? []
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
