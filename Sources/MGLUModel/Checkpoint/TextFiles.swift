/// The files of a model beside its shape and weights, as they are: how text becomes tokens, how a chat
/// becomes text, and how text is best generated.
public struct TextFiles: Sendable {
  private static let names = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
  ]

  private let documents: [(name: String, bytes: [UInt8])]

  /// Those of the model at `path`, a folder or a GGUF file, whatever is understood of them here.
  ///
  /// - Throws: ``CheckpointProblem/unreadable`` where one cannot be read.
  public init(ofModel path: String) throws(CheckpointError) {
    let parts = try ModelFolder.parts(of: path)
    var documents: [(String, [UInt8])] = []
    for name in Self.names {
      guard let bytes = try parts.document(name) else { continue }
      documents.append((name, bytes))
    }
    self.documents = documents
  }

  /// Those of a new model: its tokenizer's.
  public init(_ tokenizer: Tokenizer) {
    documents = tokenizer.files
  }

  /// Writes them into `folder`, and returns the CRC-32C of each.
  @discardableResult
  public func write(to folder: String) throws(FileError) -> [String: UInt32] {
    try Folder.create(folder)
    var checksums: [String: UInt32] = [:]
    for (name, bytes) in documents {
      checksums[name] = try AtomicFile.write(bytes, to: folder + "/" + name)
    }
    return checksums
  }
}
