/// The tokens a model is trained on and those it is judged by.
public struct Corpus: Sendable {
  /// What training draws its windows from.
  public let training: TokenSequence
  /// What is never trained on.
  public let validation: TokenSequence

  /// A corpus of given parts.
  public init(training: TokenSequence, validation: TokenSequence) {
    self.training = training
    self.validation = validation
  }

  /// Reads text, or token shards (`.bin`), or a folder of either.
  ///
  /// The validation part is `validationPath`; without it the shards of a folder whose name says
  /// `val`; without those the last tenth of the tokens.
  public init(
    contentsOf path: String, validation validationPath: String? = nil, tokenizer: Tokenizer
  ) throws(DataError) {
    if let validationPath {
      training = try Self.tokens(at: path, tokenizer: tokenizer)
      validation = try Self.tokens(at: validationPath, tokenizer: tokenizer)
      return
    }
    let shards = try Self.shards(at: path)
    let held = shards.filter { Folder.name(of: $0).contains("val") }
    if !held.isEmpty, held.count < shards.count {
      training = try Self.sequence(ofShards: shards.filter { !held.contains($0) }, of: path)
      validation = try Self.sequence(ofShards: held, of: path)
      return
    }
    let all = try Self.tokens(at: path, tokenizer: tokenizer)
    let boundary = all.count - all.count / 10
    training = all[0..<boundary]
    validation = all[boundary..<all.count]
  }

  /// The tokens of text or shards, documents separated by the end of text.
  public static func tokens(
    at path: String, tokenizer: Tokenizer
  ) throws(DataError) -> TokenSequence {
    let shards = try shards(at: path)
    if !shards.isEmpty { return try sequence(ofShards: shards, of: path) }
    return TokenSequence(try encode(textAt: path, tokenizer: tokenizer))
  }

  /// The token ids of the text at `path`, documents separated by the end of text.
  public static func encode(
    textAt path: String, tokenizer: Tokenizer
  ) throws(DataError) -> [Int32] {
    var ids: [Int32] = []
    try TextSource.forEachDocument(at: path) { document in
      if !ids.isEmpty, let end = tokenizer.endOfText, ids.last != end { ids.append(end) }
      ids += tokenizer.encode(utf8: document)
    }
    return ids
  }

  /// The shards that `path` is or holds, in the order of their names.
  private static func shards(at path: String) throws(DataError) -> [String] {
    switch Folder.kind(of: path) {
    case .file: return TokenShard.isShard(path) ? [path] : []
    case .folder:
      do {
        return try Folder.names(in: path).filter { TokenShard.isShard($0) }
          .map { path + "/" + $0 }
      } catch { throw DataError(reading: error) }
    default: return []
    }
  }

  private static func sequence(
    ofShards paths: [String], of path: String
  ) throws(DataError) -> TokenSequence {
    var pieces: [TokenSequence.Piece] = []
    for path in paths { pieces.append(try TokenShard.open(path)) }
    let sequence = TokenSequence(pieces)
    guard sequence.count > 0 else { throw DataError(.empty, "\(path): there are no tokens in it") }
    return sequence
  }
}
