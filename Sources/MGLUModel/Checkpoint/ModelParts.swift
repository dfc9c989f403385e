/// What is read of a model on disk: documents under the names that they have in a folder of Hugging
/// Face's, and tensors under the names that they have there.
package protocol ModelParts {
  /// The folder, or the file.
  var path: String { get }
  /// The document `name`, such as `config.json`, if the model has it.
  func document(_ name: String) throws(CheckpointError) -> [UInt8]?
  /// Where errors say that the document `name` lies.
  func place(of name: String) -> String
  /// The tensors.
  func tensors() throws(CheckpointError) -> CheckpointTensors
}

/// A model in Hugging Face's layout.
struct HuggingFaceFolder: ModelParts {
  let path: String

  /// The most bytes of a document: the largest tokenizers take some 30 MB.
  private static let longestDocument = 256 << 20

  func document(_ name: String) throws(CheckpointError) -> [UInt8]? {
    let path = place(of: name)
    guard Folder.kind(of: path) == .file else { return nil }
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(reading: error) }
    guard file.byteCount <= Self.longestDocument else {
      throw CheckpointError(
        .malformed, "\(path): \(file.byteCount) bytes, at most \(Self.longestDocument) are read")
    }
    return file.contents
  }

  func place(of name: String) -> String { path + "/" + name }

  func tensors() throws(CheckpointError) -> CheckpointTensors {
    try CheckpointTensors(huggingFace: path)
  }
}

extension ModelFolder {
  /// The parts of the model at `path`: a folder, or a GGUF file.
  package static func parts(of path: String) throws(CheckpointError) -> any ModelParts {
    Folder.kind(of: path) == .file ? try GGUFModel(path: path) : HuggingFaceFolder(path: path)
  }

  /// Whether the model at `path` comes with a tokenizer.
  public static func hasTokenizer(_ path: String) throws(CheckpointError) -> Bool {
    try parts(of: path).document("tokenizer.json") != nil
  }
}
