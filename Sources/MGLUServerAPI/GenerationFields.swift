/// The fields that completions and chats share. Unknown fields are ignored. A known field that is not
/// supported is an error, unless its value changes nothing.
struct GenerationFields: Decodable {
  private let temperature: Float?
  private let topP: Float?
  private let topK: Int?
  private let minP: Float?
  private let seed: Int?
  private let n: Int?
  private let stop: OneOrMore<String>?
  private let stream: Bool?
  private let streamOptions: StreamOptions?
  private let presencePenalty: Float?
  private let frequencyPenalty: Float?
  private let logitBias: [String: Float]?
  private let responseFormat: ResponseFormat?
  private let ignoreEOS: Bool?

  private struct StreamOptions: Decodable {
    let includeUsage: Bool?
    enum CodingKeys: String, CodingKey { case includeUsage = "include_usage" }
  }

  private struct ResponseFormat: Decodable { let type: String }

  enum CodingKeys: String, CodingKey {
    case temperature
    case topP = "top_p"
    case topK = "top_k"
    case minP = "min_p"
    case seed
    case n
    case stop
    case stream
    case streamOptions = "stream_options"
    case presencePenalty = "presence_penalty"
    case frequencyPenalty = "frequency_penalty"
    case logitBias = "logit_bias"
    case responseFormat = "response_format"
    case ignoreEOS = "ignore_eos"
  }

  /// Maximum number of sequences of a request.
  static let maxSequences = 1024
  /// Maximum number of stop sequences: every token costs a search for each.
  private static let maxStopSequences = 256

  var isStreamed: Bool { stream ?? false }
  /// Whether generation goes on after an EOS token, as vLLM has it.
  var ignoresEOS: Bool { ignoreEOS ?? false }
  var includesUsage: Bool { streamOptions?.includeUsage ?? false }

  /// The stop sequences, without empty ones.
  func stopSequences() throws(APIError) -> [String] {
    let stops = (stop?.values ?? []).filter { !$0.isEmpty }
    guard stops.count <= Self.maxStopSequences else {
      throw .invalid(
        "\(stops.count) stop sequences: expected at most \(Self.maxStopSequences)", param: "stop")
    }
    return stops
  }

  /// How many sequences each prompt gets.
  func count() throws(APIError) -> Int {
    let count = n ?? 1
    guard (1...Self.maxSequences).contains(count) else {
      throw .invalid("n is \(count): expected 1 to \(Self.maxSequences)", param: "n")
    }
    return count
  }

  /// How the tokens of the sequence `index` of a prompt are sampled.
  func sampling(_ index: Int, defaultSeed: UInt64) throws(APIError) -> SamplingParameters {
    for (name, isWanted) in [
      ("presence_penalty", presencePenalty ?? 0 != 0),
      ("frequency_penalty", frequencyPenalty ?? 0 != 0),
      ("logit_bias", logitBias?.values.contains { $0 != 0 } == true),
      ("response_format", responseFormat.map { $0.type != "text" } == true),
    ] where isWanted {
      throw .invalid("\(name) is not supported", param: name, code: "unsupported_parameter")
    }
    // In vLLM, -1 means all tokens.
    let topK = topK == -1 ? 0 : topK ?? 0
    let first = seed.map { UInt64(bitPattern: Int64($0)) } ?? defaultSeed
    let configuration = SamplingParameters(
      temperature: temperature ?? 1, topK: topK, topP: topP ?? 1, minP: minP ?? 0,
      seed: first &+ UInt64(index))
    do { try configuration.validate() } catch { throw .invalid(error.message) }
    return configuration
  }

  /// `count`, which the request has as `max_tokens`, if it is valid.
  static func maxTokens(_ count: Int) throws(APIError) -> Int {
    guard count >= 0 else {
      throw .invalid("max_tokens is \(count): expected 0 or more", param: "max_tokens")
    }
    return count
  }
}

/// A value, or a list of such values.
struct OneOrMore<Value: Decodable>: Decodable {
  let values: [Value]

  init(from decoder: any Decoder) throws {
    if let list = try? [Value](from: decoder) {
      values = list
    } else {
      values = [try decoder.singleValueContainer().decode(Value.self)]
    }
  }
}
