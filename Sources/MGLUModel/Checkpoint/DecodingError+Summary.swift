#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

extension DecodingError {
  /// The key and what was wrong with it, in one line.
  var summary: String {
    func place(_ context: Context) -> String {
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return path.isEmpty ? "the document" : path
    }
    return switch self {
    case .keyNotFound(let key, let context): "\(place(context)) lacks \(key.stringValue)"
    case .typeMismatch(let type, let context): "\(place(context)) is not of type \(type)"
    case .valueNotFound(let type, let context): "\(place(context)) is null, expected \(type)"
    case .dataCorrupted(let context):
      context.codingPath.isEmpty ? "not valid JSON" : "\(place(context)) has an invalid value"
    @unknown default: "cannot be decoded"
    }
  }
}
