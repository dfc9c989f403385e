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

    /// Creates an added token.
    public init(id: Int32, text: String, isSpecial: Bool = true) {
      self.id = id
      self.text = text
      self.isSpecial = isSpecial
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
  /// Added tokens by id.
  public let addedTokens: [AddedToken]
  /// One more than the highest id.
  public var vocabularySize: Int { tokenBytes.count }

  /// The bytes of each id; `nil` for an id that is no token.
  let tokenBytes: [[UInt8]?]
  /// The id of each single byte.
  let byteIDs: [Int32]
  let merges: [TokenPair: Merge]
  private let addedMatcher: AddedTokenMatcher
  private let specialIDs: Set<Int32>

  init(
    tokenBytes: [[UInt8]?], byteIDs: [Int32], merges: [TokenPair: Merge],
    addedTokens: [AddedToken], preTokenizer: PreTokenizer = .gpt2
  ) {
    self.tokenBytes = tokenBytes
    self.byteIDs = byteIDs
    self.merges = merges
    self.addedTokens = addedTokens.sorted { $0.id < $1.id }
    self.preTokenizer = preTokenizer
    addedMatcher = AddedTokenMatcher(addedTokens)
    specialIDs = Set(addedTokens.filter(\.isSpecial).map(\.id))
  }

  /// The 256 bytes, each its own token with its own value as id, and the end of text as id 256.
  public static let bytes = Tokenizer(
    tokenBytes: (0..<256).map { [UInt8($0)] } + [Array(endOfTextText.utf8)],
    byteIDs: (0..<256).map(Int32.init), merges: [:],
    addedTokens: [AddedToken(id: 256, text: endOfTextText)])

  /// The id that ends a document: that of `<|endoftext|>`, `<|end_of_text|>` or `</s>`.
  public var endOfText: Int32? {
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
    var start = 0
    var ids: [Int32] = []
    if parsingAddedTokens {
      var position = 0
      while let (range, id) = addedMatcher.next(in: text, from: position) {
        encoder.encode(start..<range.lowerBound, into: &ids)
        ids.append(id)
        start = range.upperBound
        position = range.upperBound
      }
    }
    encoder.encode(start..<text.count, into: &ids)
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

/// Two neighbouring tokens.
struct TokenPair: Hashable, Comparable {
  let left: Int32
  let right: Int32

  static func < (a: TokenPair, b: TokenPair) -> Bool { (a.left, a.right) < (b.left, b.right) }
}

/// Finds added tokens in text, the longest where several begin.
private struct AddedTokenMatcher: Sendable {
  private let tokens: [(bytes: [UInt8], id: Int32)]
  private let isFirstByte: [Bool]

  init(_ added: [Tokenizer.AddedToken]) {
    tokens = added.map { (Array($0.text.utf8), $0.id) }.filter { !$0.bytes.isEmpty }
      .sorted { $0.bytes.count > $1.bytes.count }
    var first = [Bool](repeating: false, count: 256)
    for token in tokens { first[Int(token.bytes[0])] = true }
    isFirstByte = first
  }

  func next(
    in text: UnsafeBufferPointer<UInt8>, from start: Int
  ) -> (range: Range<Int>, id: Int32)? {
    guard !tokens.isEmpty else { return nil }
    for index in start..<text.count where isFirstByte[Int(text[index])] {
      for token in tokens where text[index...].starts(with: token.bytes) {
        return (index..<index + token.bytes.count, token.id)
      }
    }
    return nil
  }
}
