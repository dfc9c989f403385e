/// Hugging Face's `tokenizer.json`, as far as byte-level BPE goes.
struct TokenizerFile: Codable {
  struct Added: Codable {
    let id: Int32
    let content: String
    var singleWord: Bool? = false
    var leftStrip: Bool? = false
    var rightStrip: Bool? = false
    var normalized: Bool? = false
    var special: Bool? = true

    enum CodingKeys: String, CodingKey {
      case id
      case content
      case singleWord = "single_word"
      case leftStrip = "lstrip"
      case rightStrip = "rstrip"
      case normalized
      case special
    }
  }

  /// A merge, in either of the two spellings that the format has had.
  struct Pair: Codable {
    let left: String
    let right: String

    init(left: String, right: String) {
      self.left = left
      self.right = right
    }

    init(from decoder: any Decoder) throws {
      let parts: [String]
      if let pair = try? decoder.singleValueContainer().decode(String.self) {
        parts = pair.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
      } else {
        parts = try [String](from: decoder)
      }
      guard parts.count == 2 else {
        throw DecodingError.dataCorrupted(
          .init(codingPath: decoder.codingPath, debugDescription: "a merge joins two tokens"))
      }
      self.init(left: parts[0], right: parts[1])
    }

    func encode(to encoder: any Encoder) throws { try [left, right].encode(to: encoder) }
  }

  struct Model: Codable {
    var type: String? = "BPE"
    var dropout: Double?
    var unknown: String?
    var prefix: String?
    var suffix: String?
    var fuse: Bool? = false
    var byteFallback: Bool? = false
    var ignoreMerges: Bool? = false
    var vocabulary: [String: Int32]?
    var merges: [Pair]?

    enum CodingKeys: String, CodingKey {
      case type
      case dropout
      case unknown = "unk_token"
      case prefix = "continuing_subword_prefix"
      case suffix = "end_of_word_suffix"
      case fuse = "fuse_unk"
      case byteFallback = "byte_fallback"
      case ignoreMerges = "ignore_merges"
      case vocabulary = "vocab"
      case merges
    }
  }

  var version: String? = "1.0"
  var added: [Added]?
  var normalizer: Component?
  var preTokenizer: Component?
  var postProcessor: Component?
  var decoder: Component?
  var model: Model

  enum CodingKeys: String, CodingKey {
    case version
    case added = "added_tokens"
    case normalizer
    case preTokenizer = "pre_tokenizer"
    case postProcessor = "post_processor"
    case decoder
    case model
  }
}

extension TokenizerFile {
  /// The file that describes `tokenizer`.
  init(_ tokenizer: Tokenizer) {
    let spelled = tokenizer.tokenBytes.map { $0.map(ByteAlphabet.spell) ?? "" }
    let added = Set(tokenizer.addedTokens.map(\.id))
    var vocabulary: [String: Int32] = [:]
    for (index, spelling) in spelled.enumerated()
    where tokenizer.tokenBytes[index] != nil && !added.contains(Int32(index)) {
      vocabulary[spelling] = Int32(index)
    }
    for token in tokenizer.addedTokens { vocabulary[token.content] = token.id }
    let merges = tokenizer.merges.sorted { $0.value.rank < $1.value.rank }.map { pair, _ in
      Pair(left: spelled[Int(pair.left)], right: spelled[Int(pair.right)])
    }
    self.added = tokenizer.addedTokens.map {
      Added(
        id: $0.id, content: $0.content, normalized: $0.isNormalized, special: $0.isSpecial)
    }
    normalizer = tokenizer.composesText ? Component(type: "NFC") : nil
    preTokenizer = Component(tokenizer.preTokenizer)
    postProcessor = Component(textStart: tokenizer.textStart, of: tokenizer)
    decoder = .byteLevel
    model = Model(
      ignoreMerges: tokenizer.ignoresMerges, vocabulary: vocabulary, merges: merges)
  }

  /// The tokenizer that the file describes; throws for an unsupported or contradictory part.
  func tokenizer() throws(TokenizerError) -> Tokenizer {
    try checkModel()
    let composesText = try composesText()
    let preTokenizer = try understoodPreTokenizer()
    guard let vocabulary = model.vocabulary, let pairs = model.merges else {
      throw TokenizerError(.malformed, "the model lacks vocab or merges")
    }
    let addedTokens = (added ?? []).map {
      Tokenizer.AddedToken(
        id: $0.id, content: $0.content, isSpecial: $0.special ?? false,
        isNormalized: $0.normalized ?? false)
    }
    let addedBytes = Set(addedTokens.map { Array($0.content.utf8) })
    var ids: [[UInt8]: Int32] = [:]
    for (spelling, id) in vocabulary where !addedBytes.contains(Array(spelling.utf8)) {
      guard let bytes = ByteAlphabet.bytes(spelledBy: spelling) else {
        throw TokenizerError(
          .malformed, "the token \(spelling) is not spelled in the byte alphabet")
      }
      ids[bytes] = id
    }
    let highest = max(ids.values.max() ?? -1, addedTokens.map(\.id).max() ?? -1)
    guard (0..<1 << 24).contains(highest) else {
      throw TokenizerError(
        .malformed, "the highest token id is \(highest): expected 0 to \(1 << 24 - 1)")
    }
    var tokenBytes = [[UInt8]?](repeating: nil, count: Int(highest) + 1)
    let named = ids.map { ($0.value, $0.key) } + addedTokens.map { ($0.id, Array($0.content.utf8)) }
    for (id, bytes) in named {
      guard id >= 0, tokenBytes[Int(id)] == nil else {
        throw TokenizerError(.malformed, "token id \(id) is negative or given twice")
      }
      tokenBytes[Int(id)] = bytes
    }
    var byteIDs: [Int32] = []
    for byte in UInt8.min...UInt8.max {
      guard let id = ids[[byte]] else {
        throw TokenizerError(.malformed, "the vocabulary has no token for byte \(byte)")
      }
      byteIDs.append(id)
    }
    return Tokenizer(
      tokenBytes: tokenBytes, byteIDs: byteIDs, merges: try merges(pairs, ids),
      addedTokens: addedTokens, preTokenizer: preTokenizer, composesText: composesText,
      ignoresMerges: model.ignoreMerges ?? false, textStart: try textStart(addedTokens))
  }

  private func merges(
    _ pairs: [Pair], _ ids: [[UInt8]: Int32]
  ) throws(TokenizerError) -> [TokenPair: Tokenizer.Merge] {
    var merges: [TokenPair: Tokenizer.Merge] = [:]
    for (rank, pair) in pairs.enumerated() {
      guard let left = ByteAlphabet.bytes(spelledBy: pair.left),
        let right = ByteAlphabet.bytes(spelledBy: pair.right),
        let leftID = ids[left], let rightID = ids[right], let merged = ids[left + right]
      else {
        throw TokenizerError(
          .malformed, "merge \(rank) of \(pair.left) and \(pair.right): a token is missing")
      }
      // A pair given twice keeps its first rank.
      let key = TokenPair(left: leftID, right: rightID)
      if merges[key] == nil { merges[key] = Tokenizer.Merge(rank: Int32(rank), id: merged) }
    }
    return merges
  }
}
