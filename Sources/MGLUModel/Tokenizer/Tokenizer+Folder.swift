extension Tokenizer {
  /// Reads a `tokenizer.json`, or the one of a model.
  public init(contentsOf path: String) throws(TokenizerError) {
    let (document, path) = try Self.document(of: path)
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

  /// The `tokenizer.json` that lies at `path`, or that of the model there, and where it is.
  private static func document(
    of path: String
  ) throws(TokenizerError) -> (document: [UInt8], path: String) {
    guard Folder.kind(of: path) == .folder || GGUFFile.isGGUF(path) else {
      do { return (try MappedFile(path: path).contents, path) } catch {
        throw TokenizerError(.unreadable, error.message, remedy: error.remedy)
      }
    }
    let name = "tokenizer.json"
    let (document, place): ([UInt8]?, String)
    do throws(CheckpointError) {
      let parts = try ModelFolder.parts(of: path)
      (document, place) = (try parts.document(name), parts.place(of: name))
    } catch {
      throw TokenizerError(
        error.code == .unreadable ? .unreadable : .malformed, error.message, remedy: error.remedy)
    }
    guard let document else {
      throw TokenizerError(.unreadable, "\(place): no such file or folder")
    }
    return (document, place)
  }

  /// The `tokenizer.json` that describes this tokenizer.
  package var json: [UInt8] { document ?? ModelFolder.json(TrainedTokenizerFile(self)) }

  /// `tokenizer.json` and `tokenizer_config.json`.
  var files: [(name: String, bytes: [UInt8])] {
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
    return [
      ("tokenizer.json", json),
      ("tokenizer_config.json", ModelFolder.json(Configuration(eosToken: end, bosToken: end))),
    ]
  }

  /// Writes `tokenizer.json` and `tokenizer_config.json` into `folder`, and returns the CRC-32C
  /// of each.
  @discardableResult
  public func save(to folder: String) throws(FileError) -> [String: UInt32] {
    try TextFiles(self).write(to: folder)
  }
}
