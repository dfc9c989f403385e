/// Byte-pair encoding, of bytes or of characters: text to token ids and back.
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
    /// Whether it takes the white space before it.
    public let stripsLeft: Bool
    /// Whether it takes the white space after it.
    public let stripsRight: Bool
    /// Whether it must not stand within a word.
    public let isSingleWord: Bool

    /// Creates an added token.
    public init(
      id: Int32, content: String, isSpecial: Bool = true, isNormalized: Bool = false,
      stripsLeft: Bool = false, stripsRight: Bool = false, isSingleWord: Bool = false
    ) {
      self.id = id
      self.content = content
      self.isSpecial = isSpecial
      self.isNormalized = isNormalized
      self.stripsLeft = stripsLeft
      self.stripsRight = stripsRight
      self.isSingleWord = isSingleWord
    }
  }

  /// The content of the token that ends a document.
  public static let endOfText = "<|endoftext|>"

  /// Cuts text into words.
  public let preTokenizer: PreTokenizer
  /// Tokens that begin every sequence of a model, such as `<|begin_of_text|>`;
  /// ``encode(_:parsingAddedTokens:)`` leaves them to its caller, ``encode(_:addsSpecialTokens:)`` adds them.
  public let textStart: [Int32]
  /// Added tokens by id.
  public let addedTokens: [AddedToken]
  /// One more than the highest id.
  public let vocabularySize: Int

  /// The tokenizer.json that it was read from.
  let document: [UInt8]?
  let model: BPEModel
  let decoder: TokenDecoder
  /// Whether every byte is a token and nothing merges.
  let isBytes: Bool
  let normalizers: [Normalizer]
  private let matchers: (verbatim: AddedTokenMatcher, normalized: AddedTokenMatcher)
  private let specialIDs: Set<Int32>
  private let tokenBytes: TokenBytes

  init(
    model: BPEModel, addedTokens: [AddedToken], normalizers: [Normalizer] = [],
    preTokenizer: PreTokenizer = .gpt2, decoder: TokenDecoder = .byteLevel,
    textStart: [Int32] = [], document: [UInt8]? = nil
  ) {
    self.model = model
    self.addedTokens = addedTokens.sorted { $0.id < $1.id }
    self.normalizers = normalizers
    self.preTokenizer = preTokenizer
    self.decoder = decoder
    self.textStart = textStart
    self.document = document
    isBytes =
      model.merges.isEmpty && !model.ignoresMerges && preTokenizer.isByteLevel
      && !model.byteIDs.contains(-1)
    let budget = PatternBudget(for: 1 << 20)
    matchers = (
      AddedTokenMatcher(addedTokens.filter { !$0.isNormalized }),
      AddedTokenMatcher(addedTokens.filter(\.isNormalized)) { content in
        normalizers.reduce(content) { $1.apply($0, budget: budget) }
      }
    )
    specialIDs = Set(addedTokens.filter(\.isSpecial).map(\.id))
    tokenBytes = TokenBytes(model.vocabulary, addedTokens, decoder)
    vocabularySize = tokenBytes.count
  }

  /// The 256 bytes, each its own token with its own value as id, and `<|endoftext|>` as id 256.
  public static let bytes = Tokenizer(
    tokens: (0..<256).map { [UInt8($0)] }, merges: [], specialTokens: [endOfText])

  /// Byte-level tokens by id, then special tokens.
  ///
  /// - Parameter merges: The ids of the two tokens that each merge joins, in order, and that of
  ///   the token they make.
  init(
    tokens: [[UInt8]], merges: [(left: Int32, right: Int32, id: Int32)], specialTokens: [String],
    preTokenizer: PreTokenizer = .gpt2
  ) {
    var vocabulary = Vocabulary(capacity: tokens.count + specialTokens.count)
    for (id, bytes) in tokens.enumerated() {
      _ = vocabulary.insert(ByteAlphabet.spelled(bytes), id: Int32(id))
    }
    var table = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      table.insert(merge.left, merge.right, .init(rank: Int32(rank), id: merge.id))
    }
    let added = specialTokens.enumerated().map { index, content in
      AddedToken(id: Int32(tokens.count + index), content: content)
    }
    self.init(
      model: BPEModel(vocabulary: vocabulary, merges: table), addedTokens: added,
      preTokenizer: preTokenizer)
  }

  /// The id that ends a document: that of `<|endoftext|>`, `<|end_of_text|>`, `</s>` or `<eos>`.
  public var eosTokenID: Int32? {
    for content in [Self.endOfText, "<|end_of_text|>", "</s>", "<eos>"] {
      if let token = addedTokens.first(where: { $0.content == content }) { return token.id }
    }
    return nil
  }

  /// Whether `id` is control rather than content.
  public func isSpecial(_ id: Int32) -> Bool { specialIDs.contains(id) }

  /// The bytes of `id`, or `nil` where there is no such token. Those of an added token are its content.
  public func bytes(of id: Int32) -> [UInt8]? { tokenBytes[id] }

  /// The bytes of `id` at the beginning of a text or within.
  func bytes(of id: Int32, isFirst: Bool) -> [UInt8]? {
    guard isFirst, decoder.dropsFirst else { return bytes(of: id) }
    guard let spelling = tokenBytes.spelling(of: id, model.vocabulary) else { return nil }
    var bytes: [UInt8] = []
    spelling.withUnsafeBufferPointer {
      decoder.bytes(
        spelledBy: $0, isFirst: true, budget: PatternBudget(for: $0.count), into: &bytes)
    }
    return bytes
  }

  /// Whether `id` stands for a byte among tokens of characters.
  package func isByte(_ id: Int32) -> Bool {
    guard decoder.hasByteFallback, let spelling = model.vocabulary.text(of: id) else {
      return false
    }
    return BPEModel.byte(spelledBy: spelling) != nil
  }

  /// The token ids of `text`. Characters without a token have the unknown token, if there is one.
  ///
  /// - Parameters:
  ///   - text: Any string.
  ///   - parsingAddedTokens: Whether the content of an added token means that token, as in
  ///     Hugging Face tokenizers; otherwise the tokenizer encodes it like other characters.
  public func encode(_ text: String, parsingAddedTokens: Bool = true) -> [Int32] {
    var text = text
    return text.withUTF8 { encode(utf8: $0, parsingAddedTokens: parsingAddedTokens) }
  }

  /// The token ids of `text` as a model's prompt: with ``textStart`` before them, unless they begin so.
  ///
  /// - Parameters:
  ///   - text: Any string.
  ///   - addsSpecialTokens: Whether the text begins a sequence; otherwise nothing is added.
  public func encode(_ text: String, addsSpecialTokens: Bool) -> [Int32] {
    let tokens = encode(text)
    return addsSpecialTokens && !tokens.starts(with: textStart) ? textStart + tokens : tokens
  }

  /// The token ids of valid UTF-8.
  package func encode(
    utf8 bytes: UnsafeBufferPointer<UInt8>, parsingAddedTokens: Bool = true
  ) -> [Int32] {
    let budget = PatternBudget(for: bytes.count)
    var encoder = WordEncoder(tokenizer: self, budget: budget)
    var ids: [Int32] = []
    let (verbatim, normalized) = parsingAddedTokens ? matchers : (.none, .none)
    verbatim.forEachPart(of: bytes) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .plain(let range):
        let isStart = range.lowerBound == 0
        let section = UnsafeBufferPointer(rebasing: bytes[range])
        guard normalizers.contains(where: { $0.changes(section) }) else {
          return encoder.encode(section, added: normalized, startsText: isStart, into: &ids)
        }
        let text = normalizers.reduce(Array(section)) { $1.apply($0, budget: budget) }
        text.withUnsafeBufferPointer {
          encoder.encode($0, added: normalized, startsText: isStart, into: &ids)
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
    var (text, pending, isFirst) = ("", [UInt8](), true)
    for id in ids where !(skippingSpecialTokens && isSpecial(id)) {
      guard let bytes = bytes(of: id, isFirst: isFirst) else { continue }
      isFirst = false
      if decoder.hasByteFallback, !isByte(id) {
        text += decoder.text(of: pending) + String(decoding: bytes, as: UTF8.self)
        pending.removeAll()
      } else {
        pending += bytes
      }
    }
    text += decoder.text(of: pending)
    return decoder.strip.map { decoder.stripped(text, count: $0.count).text } ?? text
  }
}
