extension ModelFolder {
  /// The files of a folder that say how text becomes tokens and how it is best generated.
  static let textFiles = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
  ]

  /// Copies the text files of the model at `path` to the folder `output` as they are, whatever is
  /// understood of them here.
  public static func copyTextFiles(
    from path: String, to output: String
  ) throws(CheckpointError) {
    do { try Folder.create(output) } catch { throw CheckpointError(writing: error) }
    let parts = try parts(of: path)
    for name in textFiles {
      guard let document = try parts.document(name) else { continue }
      do { try AtomicFile.write(document, to: output + "/" + name) } catch {
        throw CheckpointError(writing: error)
      }
    }
  }
}
