#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Bodies of requests and responses as JSON.
package enum JSONBody {
  /// Reads the body of a request.
  static func read(_ bytes: [UInt8]) throws(APIError) -> TemplateValue {
    do { return try TemplateValue(parsing: bytes) } catch {
      let code =
        switch error.code {
        case .encoding: "invalid_utf8"
        case .syntax: "invalid_json"
        case .surrogate, .depth: "invalid_value"
        }
      throw .invalid(error.message, code: code)
    }
  }

  /// Encodes `value`.
  package static func encode(_ value: some Encodable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Plain values always encode.
    return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "null"
  }
}
