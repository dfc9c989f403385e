extension ModelFolder {
  /// The files of a folder that say how text becomes tokens and how it is best generated.
  static let textFiles = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json",
  ]

  /// The most bytes of such a file: the largest tokenizers take some 30 MB.
  static let longestTextFile = 256 << 20

  /// Copies the text files of `folder` to `output` as they are, whatever is understood of them
  /// here.
  public static func copyTextFiles(
    from folder: String, to output: String
  ) throws(CheckpointError) {
    do { try Folder.create(output) } catch { throw CheckpointError(writing: error) }
    for name in textFiles where Folder.kind(of: folder + "/" + name) == .file {
      let file: MappedFile
      do { file = try MappedFile(path: folder + "/" + name) } catch {
        throw CheckpointError(reading: error)
      }
      guard file.contents.count <= longestTextFile else {
        throw CheckpointError(
          .malformed,
          "\(folder)/\(name): \(file.contents.count) bytes, at most \(longestTextFile) are read")
      }
      do { try AtomicFile.write(Array(file.contents), to: output + "/" + name) } catch {
        throw CheckpointError(writing: error)
      }
    }
  }
}
