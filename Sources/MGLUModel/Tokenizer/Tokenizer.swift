/// Byte-level byte-pair encoding: any text to token ids and back, without an unknown token.
///
/// A tokenizer is an immutable value: any number of threads may use it.
public struct Tokenizer: Sendable {
  /// A token that stands for itself wherever its content appears, such as `<|endoftext|>`.
  public struct AddedToken: Sendable, Equatable {
    /// Its id.
    public let id: Int32
    /// Its spelling.
    public let content: String
    /// Whether it is control rather than content.
    public let isSpecial: Bool
    /// Whether the tokenizer looks for it in normalized text, after the other added tokens.
    public let isNormalized: Bool

    /// Creates an added token.
    public init(id: Int32, content: String, isSpecial: Bool = true, isNormalized: Bool = false) {
      self.id = id
      self.content = content
      self.isSpecial = isSpecial
      self.isNormalized = isNormalized
    }
  }

  /// The token that a merge of two makes, and the rank of the merge.
  struct Merge: Equatable {
    let rank: Int32
    let id: Int32
  }

  /// The content of the token that ends a document.
  public static let endOfText = "<|endoftext|>"

  /// Cuts text into words.
  public let preTokenizer: PreTokenizer
  /// Whether the tokenizer first brings text into Unicode's composed form (NFC).
  public let composesText: Bool
  /// Whether a word that is a token is that token, without regard to merges.
  public let ignoresMerges: Bool
  /// Tokens that begin every sequence of a model, such as `<|begin_of_text|>`;
  /// ``encode(_:parsingAddedTokens:)`` leaves them to its caller.
  public let textStart: [Int32]
  /// Added tokens by id.
  public let addedTokens: [AddedToken]
  /// One more than the highest id.
  public var vocabularySize: Int { tokenBytes.count }

  /// The bytes of each id; `nil` for an id without a token.
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

  /// The 256 bytes, each its own token with its own value as id, and `<|endoftext|>` as id 256.
  public static let bytes = Tokenizer(
    tokenBytes: (0..<256).map { [UInt8($0)] } + [Array(endOfText.utf8)],
    byteIDs: (0..<256).map(Int32.init), merges: [:],
    addedTokens: [AddedToken(id: 256, content: endOfText)])

  /// The id that ends a document: that of `<|endoftext|>`, `<|end_of_text|>` or `</s>`.
  public var eosTokenID: Int32? {
    for content in [Self.endOfText, "<|end_of_text|>", "</s>"] {
      if let token = addedTokens.first(where: { $0.content == content }) { return token.id }
    }
    return nil
  }

  /// Whether `id` is control rather than content.
  public func isSpecial(_ id: Int32) -> Bool { specialIDs.contains(id) }

  /// The bytes of `id`, or `nil` where there is no such token. Those of an added token are its content.
  public func bytes(of id: Int32) -> [UInt8]? {
    tokenBytes.indices.contains(Int(id)) ? tokenBytes[Int(id)] : nil
  }

  /// The token ids of `text`.
  ///
  /// - Parameters:
  ///   - text: Any string.
  ///   - parsingAddedTokens: Whether the content of an added token means that token, as in
  ///     Hugging Face tokenizers; otherwise the tokenizer encodes it like other characters.
  public func encode(_ text: String, parsingAddedTokens: Bool = true) -> [Int32] {
    var text = text
    return text.withUTF8 { encode(utf8: $0, parsingAddedTokens: parsingAddedTokens) }
  }

  /// The token ids of valid UTF-8.
  package func encode(
    utf8 bytes: UnsafeBufferPointer<UInt8>, parsingAddedTokens: Bool = true
  ) -> [Int32] {
    var encoder = WordEncoder(tokenizer: self, bytes: bytes)
    var ids: [Int32] = []
    let none = AddedTokenMatcher([])
    let (verbatim, normalized) = parsingAddedTokens ? matchers : (none, none)
    verbatim.forEachPart(of: bytes, in: 0..<bytes.count) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .plain(let range):
        guard composesText, let composed = bytes[range].composed else {
          return encoder.encode(range, added: normalized, into: &ids)
        }
        composed.withUnsafeBufferPointer { composed in
          var encoder = WordEncoder(tokenizer: self, bytes: composed)
          encoder.encode(0..<composed.count, added: normalized, into: &ids)
        }
      }
    }
    return ids
  }

  /// The text of `ids`, with U+FFFD where bytes are not valid UTF-8. Ids without a token add
  /// no characters.
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
