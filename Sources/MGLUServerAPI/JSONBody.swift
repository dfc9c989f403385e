#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Bodies of requests and responses as JSON.
package enum JSONBody {
  /// Decodes the body of a request.
  static func decode<Value: Decodable>(
    _ type: Value.Type, from bytes: [UInt8]
  ) throws(APIError) -> Value {
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw .invalid("the body is not valid UTF-8", code: "invalid_utf8")
    }
    let document = Data(bytes)
    do { return try JSONDecoder().decode(type, from: document) } catch let error as APIError {
      throw error
    } catch let error as DecodingError {
      if case .dataCorrupted(let context) = error, context.codingPath.isEmpty, document.isJSON {
        throw .invalid(
          "a number of the body is out of range, or not a whole number where one is expected",
          code: "invalid_value")
      }
      throw describe(error)
    } catch {
      throw .invalid("the body is not valid JSON", code: "invalid_json")
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

  private static func describe(_ error: DecodingError) -> APIError {
    func place(_ context: DecodingError.Context) -> String? {
      let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
      return path.isEmpty ? nil : path.joined(separator: ".")
    }
    func invalid(_ context: DecodingError.Context, _ problem: String) -> APIError {
      let place = place(context)
      return .invalid("\(place ?? "the body") \(problem)", param: place, code: "invalid_value")
    }
    switch error {
    case .keyNotFound(let key, _):
      return .invalid(
        "\(key.stringValue) is missing", param: key.stringValue, code: "missing_parameter")
    case .typeMismatch(_, let context):
      return invalid(context, "is of the wrong type")
    case .valueNotFound(_, let context):
      return invalid(context, "is null")
    case .dataCorrupted(let context):
      if context.codingPath.isEmpty {
        return .invalid("the body is not valid JSON", code: "invalid_json")
      }
      return invalid(context, context.debugDescription)
    @unknown default:
      return .invalid("the body cannot be read", code: "invalid_json")
    }
  }
}
