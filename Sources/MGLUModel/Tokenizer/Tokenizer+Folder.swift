extension Tokenizer {
  /// Reads a `tokenizer.json`, or the one in a model's folder.
  public init(contentsOf path: String) throws(TokenizerError) {
    let path = Folder.kind(of: path) == .folder ? path + "/tokenizer.json" : path
    let document: [UInt8]
    do throws(FileError) { document = Array(try MappedFile(path: path).contents) } catch {
      throw TokenizerError(.unreadable, error.message, remedy: error.remedy)
    }
    do throws(TokenizerError) { self = try Tokenizer(json: document) } catch {
      throw TokenizerError(error.code, "\(path): \(error.message)", remedy: error.remedy)
    }
  }

  /// The tokenizer that a `tokenizer.json` describes: a BPE model with whatever pre-tokenizer,
  /// normalizers and decoder Hugging Face's `tokenizers` package would run it with. Throws for a part
  /// that is not understood, by its name.
  ///
  /// - Parameter document: The bytes of the document. ``save(to:)`` writes them again.
  public init(json document: [UInt8]) throws(TokenizerError) {
    guard document.count <= Int32.max else {
      throw TokenizerError(.malformed, "\(document.count) bytes: expected at most \(Int32.max)")
    }
    let file = try document.withUnsafeBufferPointer { bytes throws(TokenizerError) in
      try TokenizerFile(json: bytes)
    }
    self = try file.tokenizer(document: document)
  }

  /// Writes `tokenizer.json` and `tokenizer_config.json` into `folder`, and returns the CRC-32C
  /// of each.
  @discardableResult
  public func save(to folder: String) throws(FileError) -> [String: UInt32] {
    struct Configuration: Encodable {
      let addBosToken = false
      let eosToken: String?
      let bosToken: String?
      let tokenizerClass = "PreTrainedTokenizerFast"
      enum CodingKeys: String, CodingKey {
        case addBosToken = "add_bos_token"
        case eosToken = "eos_token"
        case bosToken = "bos_token"
        case tokenizerClass = "tokenizer_class"
      }
    }
    let end = eosTokenID.flatMap { id in addedTokens.first { $0.id == id }?.content }
    try Folder.create(folder)
    let files = [
      "tokenizer.json": document ?? ModelFolder.json(TrainedTokenizerFile(self)),
      "tokenizer_config.json": ModelFolder.json(
        Configuration(eosToken: end, bosToken: end)),
    ]
    var checksums: [String: UInt32] = [:]
    for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
      checksums[name] = try AtomicFile.write(bytes, to: folder + "/" + name)
    }
    return checksums
  }
}
