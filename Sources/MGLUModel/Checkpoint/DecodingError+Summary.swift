#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension DecodingError {
  /// The key of `document` and what was wrong with it, in one line.
  func summary(of document: Data) -> String {
    func place(_ context: Context) -> String {
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return path.isEmpty ? "the document" : path
    }
    return switch self {
    case .keyNotFound(let key, let context): "\(place(context)) lacks \(key.stringValue)"
    case .typeMismatch(let type, let context): "\(place(context)) is not \(Self.words(for: type))"
    case .valueNotFound(let type, let context):
      "\(place(context)) is null, expected \(Self.words(for: type))"
    case .dataCorrupted(let context):
      if !context.codingPath.isEmpty {
        "\(place(context)) has an invalid value"
      } else if document.isJSON {
        "a number is beyond its range, or no whole number where one is expected, or a text is no "
          + "Unicode"
      } else {
        "not valid JSON"
      }
    @unknown default: "cannot be decoded"
    }
  }

  /// What JSON calls a type.
  private static func words(for type: any Any.Type) -> String {
    switch type {
    case is String.Type: "a text"
    case is Bool.Type: "true or false"
    case is any BinaryInteger.Type: "a whole number"
    case is HuggingFaceConfiguration.TokenIDs.Type: "a whole number or a list of them"
    case is any BinaryFloatingPoint.Type: "a number"
    default:
      switch "\(type)" {
      case let name where name.hasPrefix("Array"): "a list"
      case let name where name.hasPrefix("Dictionary"): "an object"
      case let name: "of type \(name)"
      }
    }
  }
}

extension Data {
  /// Whether it is JSON, of whatever kind: of a number that does not fit Foundation says only that the
  /// JSON is none.
  package var isJSON: Bool { (try? JSONDecoder().decode(AnyDocument.self, from: self)) != nil }
}

/// The model looks over the whole document before it asks what to make of it.
private struct AnyDocument: Decodable {}
