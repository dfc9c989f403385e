/// The tokens of a GGUF file.
struct GGUFVocabulary {
  /// The types of tokens, under GGUF's numbers.
  enum Kind: Int {
    case normal = 1
    case unknown
    case control
    case userDefined
    case unused
    case byte
  }

  /// The spelling of each id.
  let tokens: [String]
  /// The type of each id.
  let kinds: [Kind]

  /// The tokens of `file`, which has tokens.
  init(_ file: GGUFFile) throws(CheckpointError) {
    let key = "tokenizer.ggml.tokens"
    guard let tokens = try file.strings(key), tokens.count < 1 << 24 else {
      throw file.malformed(key, "is missing, or has more than \(1 << 24 - 1) tokens")
    }
    self.tokens = tokens
    let typeKey = "tokenizer.ggml.token_type"
    guard let types = try file.numbers(typeKey) else {
      kinds = Array(repeating: .normal, count: tokens.count)
      return
    }
    guard types.count == tokens.count else {
      throw file.malformed(typeKey, "has \(types.count) elements for \(tokens.count) tokens")
    }
    // A type that llama.cpp does not know either is that of a normal token.
    kinds = types.map { Int(exactly: $0).flatMap(Kind.init) ?? .normal }
  }

  /// The spelling of `id`, which the key of a special token has.
  func token(_ id: Int, _ role: String, of file: GGUFFile) throws(CheckpointError) -> String {
    guard tokens.indices.contains(id), !tokens[id].isEmpty else {
      throw file.malformed(
        "tokenizer.ggml.\(role)_token_id", "is \(id), expected a token of \(tokens.count)")
    }
    return tokens[id]
  }

  /// The ids of the tokens that text may have, by their bytes.
  ///
  /// - Throws: where one spelling has two ids.
  func ids(of file: GGUFFile) throws(CheckpointError) -> Vocabulary {
    var ids = Vocabulary(capacity: tokens.count)
    for (id, token) in tokens.enumerated() where kinds[id] != .unused && !token.isEmpty {
      let bytes = Array(token.utf8)
      guard ids.id(of: bytes) == nil, ids.insert(bytes, id: Int32(id)) else {
        throw file.malformed("tokenizer.ggml.tokens[\(id)]", "repeats the token \(token.shown)")
      }
    }
    return ids
  }
}
