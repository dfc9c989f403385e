/// The tokens a model is trained on and those it is judged by.
public struct Corpus: Sendable {
  /// The data of training's windows.
  public let training: TokenSequence
  /// The data that training never sees.
  public let validation: TokenSequence

  /// A corpus of given parts.
  public init(training: TokenSequence, validation: TokenSequence) {
    self.training = training
    self.validation = validation
  }

  /// Reads text, or token shards (`.bin`), or a folder of either.
  ///
  /// The validation part is `validationPath`, whose files are left out of the training part where
  /// they lie in its folder; without it the shards of a folder that have the word `val`, `valid` or
  /// `validation` in their names; without those the last tenth of the tokens.
  public init(
    contentsOf path: String, validation validationPath: String? = nil, tokenizer: Tokenizer
  ) throws(DataError) {
    if let validationPath {
      let held = Set(try Self.files(at: validationPath).map(Folder.resolved))
      if Folder.kind(of: path) == .file, held.contains(Folder.resolved(path)) {
        throw DataError(
          .onlyValidation, "\(path) is the validation data too: nothing is left to train on",
          remedy: "give other data, or no validation data to keep the last tenth")
      }
      training = try Self.tokens(at: path, without: held, tokenizer: tokenizer)
      validation = try Self.tokens(at: validationPath, tokenizer: tokenizer)
      return
    }
    let shards = try Self.shards(at: path)
    let held = shards.filter { path in
      let words = Folder.name(of: path).lowercased().split { !$0.isLetter }
      return !Set(["val", "valid", "validation"]).isDisjoint(with: words.map(String.init))
    }
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
    try tokens(at: path, without: [], tokenizer: tokenizer)
  }

  private static func tokens(
    at path: String, without excluded: Set<String>, tokenizer: Tokenizer
  ) throws(DataError) -> TokenSequence {
    let shards = try shards(at: path)
    if !shards.isEmpty {
      return try sequence(
        ofShards: shards.filter { !excluded.contains(Folder.resolved($0)) }, of: path)
    }
    return TokenSequence(try encode(textAt: path, without: excluded, tokenizer: tokenizer))
  }

  /// The files that the tokens at `path` come from.
  private static func files(at path: String) throws(DataError) -> [String] {
    let shards = try shards(at: path)
    return shards.isEmpty ? try TextSource.files(at: path) : shards
  }

  /// How many files of text a folder has beside token shards: of such a folder either is read, shards as
  /// data and text to be encoded.
  public static func mixedFiles(
    in folder: String
  ) throws(DataError) -> (shards: Int, texts: Int)? {
    guard Folder.kind(of: folder) == .folder else { return nil }
    let counts = (try shards(at: folder).count, try TextSource.filesBelow(folder).count)
    return counts.0 > 0 && counts.1 > 0 ? counts : nil
  }

  /// The token ids of the text at `path`, documents separated by the end of text.
  public static func encode(
    textAt path: String, tokenizer: Tokenizer
  ) throws(DataError) -> [Int32] {
    try encode(textAt: path, without: [], tokenizer: tokenizer)
  }

  private static func encode(
    textAt path: String, without excluded: Set<String>, tokenizer: Tokenizer
  ) throws(DataError) -> [Int32] {
    var ids: [Int32] = []
    try TextSource.forEachDocument(at: path, without: excluded) { document in
      if !ids.isEmpty, let end = tokenizer.eosTokenID, ids.last != end { ids.append(end) }
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
