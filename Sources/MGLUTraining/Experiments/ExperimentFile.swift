#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The JSON files of an experiment: keys in snake case, sorted, so that equal values are equal bytes.
package enum ExperimentFile {
  /// Writes `value` whole or not at all.
  static func write(_ value: some Encodable, to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    try AtomicFile.write(Array(try encoder.encode(value)) + [UInt8(ascii: "\n")], to: path)
  }

  /// The value in the file at `path`, or `nil` where there is no such file.
  package static func read<T: Decodable>(_ type: T.Type, from path: String) throws -> T? {
    guard Folder.kind(of: path) != nil else { return nil }
    let model = JSONDecoder()
    model.keyDecodingStrategy = .convertFromSnakeCase
    let data = Data(try MappedFile(path: path).contents)
    do { return try model.decode(type, from: data) } catch {
      throw ExperimentError(
        .malformed,
        "\(path): not what was expected there: \((error as? DecodingError)?.place ?? "")",
        remedy: "correct the file, or remove it if mglu wrote it")
    }
  }
}

extension DecodingError {
  /// The key and its problem.
  fileprivate var place: String {
    switch self {
    case .keyNotFound(let key, _): "\"\(key.stringValue)\" is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context),
      .dataCorrupted(let context):
      (context.codingPath.map { "\"\($0.stringValue)\": " }.joined()) + context.debugDescription
    @unknown default: "\(self)"
    }
  }
}
