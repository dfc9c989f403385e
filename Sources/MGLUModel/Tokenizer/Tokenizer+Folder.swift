#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension Tokenizer {
  /// Reads a `tokenizer.json`, or the one of a model.
  public init(contentsOf path: String) throws(TokenizerError) {
    let (document, path) = try Self.document(of: path)
    let file: TokenizerFile
    do {
      file = try JSONDecoder().decode(TokenizerFile.self, from: document)
    } catch let error as DecodingError {
      throw TokenizerError(.malformed, "\(path): \(error.summary(of: document))")
    } catch {
      throw TokenizerError(.malformed, "\(path): not valid JSON")
    }
    do { self = try file.tokenizer() } catch {
      throw TokenizerError(error.code, "\(path): \(error.message)", remedy: error.remedy)
    }
  }

  /// The `tokenizer.json` that lies at `path`, or that of the model there, and where it is.
  private static func document(of path: String) throws(TokenizerError) -> (Data, path: String) {
    do {
      if Folder.kind(of: path) == .folder || GGUFFile.isGGUF(path) {
        let parts = try ModelFolder.parts(of: path)
        let place = parts.place(of: "tokenizer.json")
        guard let document = try parts.document("tokenizer.json") else {
          throw TokenizerError(.unreadable, "\(place): no such file or folder")
        }
        return (Data(document), place)
      }
      return (Data(try MappedFile(path: path).contents), path)
    } catch let error as TokenizerError {
      throw error
    } catch let error as CheckpointError {
      throw TokenizerError(
        error.code == .unreadable ? .unreadable : .malformed, error.message,
        remedy: error.remedy)
    } catch let error as FileError {
      throw TokenizerError(.unreadable, error.message, remedy: error.remedy)
    } catch {
      throw TokenizerError(.unreadable, "\(path): \(error)")
    }
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
      "tokenizer.json": ModelFolder.json(TokenizerFile(self)),
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
