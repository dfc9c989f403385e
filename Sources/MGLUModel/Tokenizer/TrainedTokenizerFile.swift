/// The `tokenizer.json` of a tokenizer that was trained here.
struct TrainedTokenizerFile: Encodable {
  private struct Model: Encodable {
    let type = "BPE"
    let fuse = false
    let byteFallback = false
    let ignoreMerges: Bool
    let vocabulary: [String: Int32]
    let merges: [[String]]

    enum CodingKeys: String, CodingKey {
      case type
      case fuse = "fuse_unk"
      case byteFallback = "byte_fallback"
      case ignoreMerges = "ignore_merges"
      case vocabulary = "vocab"
      case merges
    }
  }

  private let version = "1.0"
  private let added: [TokenizerFile.Added]
  private let preTokenizer: TokenizerFile.Component?
  private let decoder = TokenizerFile.Component.byteLevel
  private let model: Model

  enum CodingKeys: String, CodingKey {
    case version
    case added = "added_tokens"
    case preTokenizer = "pre_tokenizer"
    case decoder
    case model
  }

  init(_ tokenizer: Tokenizer) {
    let vocabulary = tokenizer.model.vocabulary
    func spelling(_ id: Int32) -> String? {
      vocabulary.text(of: id).map { String(decoding: $0, as: UTF8.self) }
    }
    var ids: [String: Int32] = [:]
    for id in 0..<Int32(vocabulary.upperBound) { if let text = spelling(id) { ids[text] = id } }
    for token in tokenizer.addedTokens { ids[token.content] = token.id }
    added = tokenizer.addedTokens.map {
      .init(id: $0.id, content: $0.content, normalized: $0.isNormalized, special: $0.isSpecial)
    }
    preTokenizer = tokenizer.preTokenizer.component
    model = Model(
      ignoreMerges: tokenizer.model.ignoresMerges, vocabulary: ids,
      merges: tokenizer.model.merges.ranked.map {
        [spelling($0.left) ?? "", spelling($0.right) ?? ""]
      })
  }
}
