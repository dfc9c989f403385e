/// Documents from a text file, a JSONL file, or a folder of them.
///
/// A text file is one document; a JSONL file has one in the `text` of each line, and a `.json` file the
/// same, or a list of texts or of objects with a `text`. A folder is read
/// recursively in the order of its names, hidden ones left out, for files with one of
/// ``folderExtensions``.
public enum TextSource {
  /// Extensions of text files in a folder: prose and source code.
  public static let folderExtensions = [
    "txt", "md", "markdown", "rst", "tex", "jsonl", "swift", "c", "h", "cc", "cpp", "hpp", "cu",
    "py", "rs", "go", "java", "kt", "js", "ts", "rb", "sh", "sql", "html", "css",
  ]

  /// Calls `body` with the text of each document that is not empty.
  public static func forEachText(
    at path: String, _ body: (String) -> Void
  ) throws(DataError) {
    try forEachDocument(at: path) { body(String(decoding: $0, as: UTF8.self)) }
  }

  /// Calls `body` with the valid UTF-8 of each document that is not empty, but for those of files
  /// whose resolved paths are `excluded`.
  package static func forEachDocument(
    at path: String, without excluded: Set<String> = [],
    _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(DataError) {
    var found = false
    for file in try files(at: path) where !excluded.contains(Folder.resolved(file)) {
      let content = try content(ofFile: file)
      try documents(of: content, file: file) { document in
        guard !document.isEmpty else { return }
        found = true
        body(document)
      }
    }
    guard found else {
      throw DataError(.empty, "\(path): there is no text in it", remedy: "give other data")
    }
  }

  /// The files that `path` stands for.
  static func files(at path: String) throws(DataError) -> [String] {
    switch Folder.kind(of: path) {
    case .file: return [path]
    case .folder:
      let found = try filesBelow(path)
      guard !found.isEmpty else {
        throw DataError(
          .empty,
          "\(path): no text in this folder: expected files that end in "
            + folderExtensions.joined(separator: ", "))
      }
      return found
    case .other: throw DataError(.unreadable, "\(path): expected a file or a folder")
    case nil: throw DataError(.unreadable, "\(path): no such file or folder")
    }
  }

  /// The files of text below a folder.
  static func filesBelow(_ folder: String) throws(DataError) -> [String] {
    try allFiles(below: folder).filter(isText)
  }

  /// The files in a folder that are not read, because their names do not say that they are text; none where
  /// no other is.
  public static func filesLeftOut(of folder: String) throws(DataError) -> [String] {
    guard Folder.kind(of: folder) == .folder else { return [] }
    let files = try allFiles(below: folder)
    return files.contains(where: isText)
      ? files.filter { !isText($0) && !TokenShard.isShard($0) } : []
  }

  private static func isText(_ path: String) -> Bool {
    folderExtensions.contains { path.hasSuffix("." + $0) }
  }

  private static func allFiles(below folder: String) throws(DataError) -> [String] {
    let names: [String]
    do { names = try Folder.names(in: folder) } catch { throw DataError(reading: error) }
    var result: [String] = []
    for name in names where !name.hasPrefix(".") {
      let path = folder + "/" + name
      switch Folder.kind(of: path) {
      // A link to a folder may lead back up: only real folders are entered.
      case .folder where !Folder.isLink(path): result += try allFiles(below: path)
      case .file: result.append(path)
      default: continue
      }
    }
    return result
  }

  private static func content(ofFile path: String) throws(DataError) -> String {
    let file: MappedFile
    do { file = try MappedFile(path: path) } catch { throw DataError(reading: error) }
    for (start, name, program) in compressions where file.bytes.starts(with: start) {
      throw DataError(
        .malformed, "\(path): compressed by \(name), expected text",
        remedy: "decompress it before, with \(program)")
    }
    let bytes = file.bytes.starts(with: byteOrderMark) ? file.bytes.dropFirst(3) : file.bytes[...]
    guard let content = String(validating: bytes, as: UTF8.self) else {
      throw DataError(
        .malformed, "\(path): not UTF-8 text", remedy: "convert it, for example with iconv")
    }
    return content
  }

  /// How files of compressed text begin, and what reads them.
  private static let compressions: [(start: [UInt8], name: String, program: String)] = [
    ([0x1f, 0x8b], "gzip", "gunzip"), ([0x28, 0xb5, 0x2f, 0xfd], "zstd", "unzstd"),
  ]

  /// What some editors put before UTF-8; no part of the text.
  private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

  private static func documents(
    of content: String, file: String, _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) throws(DataError) {
    var content = content
    if file.hasSuffix(".json"), let value = try? TemplateValue(parsing: content.utf8) {
      guard let texts = texts(of: value) else {
        throw DataError(
          .malformed, "\(file): expected a list of texts, or of objects with a \"text\"",
          remedy: "write one object with a \"text\" a line, in a .jsonl file")
      }
      for var text in texts { text.withUTF8(body) }
      return
    }
    guard file.hasSuffix(".jsonl") || file.hasSuffix(".json") else {
      return content.withUTF8(body)
    }
    var number = 0
    for line in content.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    {
      number += 1
      if line.allSatisfy({ [0x20, 0x09, 0x0d].contains($0) }) { continue }
      let value = try? TemplateValue(parsing: line)
      guard var document = value.flatMap(text) else {
        throw DataError(
          .malformed,
          "\(file), line \(number): \(problem(of: value)), expected a JSON object with a \"text\"")
      }
      document.withUTF8(body)
    }
  }

  /// Why a line has no text.
  private static func problem(of value: TemplateValue?) -> String {
    guard let value else { return "not valid JSON" }
    guard case .mapping(let members) = value else { return "no object" }
    return members["text"] == nil ? "an object without a \"text\"" : "its \"text\" is no string"
  }

  /// The documents of a whole JSON document, if it has such.
  private static func texts(of value: TemplateValue) -> [String]? {
    guard case .list(let values) = value else { return text(of: value).map { [$0] } }
    var texts: [String] = []
    for value in values {
      if case .string(let text) = value {
        texts.append(text)
      } else if let text = text(of: value) {
        texts.append(text)
      } else {
        return nil
      }
    }
    return texts
  }

  /// The `text` of an object.
  private static func text(of value: TemplateValue) -> String? {
    guard case .mapping(let members) = value, case .string(let text)? = members["text"] else {
      return nil
    }
    return text
  }
}
