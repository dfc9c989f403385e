/// What completions and chats have in common. Fields that are unknown are ignored; known ones that
/// cannot be honored are refused, unless they ask for nothing.
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
  }

  /// Most texts of one request.
  static let mostTexts = 1024
  /// Most stop texts: each is looked for at every token.
  private static let mostStops = 256

  var isStreamed: Bool { stream ?? false }
  var includesUsage: Bool { streamOptions?.includeUsage ?? false }

  /// What ends a text.
  func stops() throws(APIError) -> [String] {
    let stops = (stop?.values ?? []).filter { !$0.isEmpty }
    guard stops.count <= Self.mostStops else {
      throw .invalid(
        "\(stops.count) stop texts: expected at most \(Self.mostStops)", param: "stop")
    }
    return stops
  }

  /// How many texts each prompt gets.
  func count() throws(APIError) -> Int {
    let count = n ?? 1
    guard (1...Self.mostTexts).contains(count) else {
      throw .invalid("n is \(count): expected 1 to \(Self.mostTexts)", param: "n")
    }
    return count
  }

  /// How tokens of the text `index` of a prompt are chosen.
  func sampling(_ index: Int, defaultSeed: UInt64) throws(APIError) -> SamplingParameters {
    for (name, isAsked) in [
      ("presence_penalty", presencePenalty ?? 0 != 0),
      ("frequency_penalty", frequencyPenalty ?? 0 != 0),
      ("logit_bias", logitBias?.values.contains { $0 != 0 } == true),
      ("response_format", responseFormat.map { $0.type != "text" } == true),
    ] where isAsked {
      throw .invalid("\(name) is not supported", param: name, code: "unsupported_parameter")
    }
    // vLLM's spelling of "all".
    let topK = topK == -1 ? 0 : topK ?? 0
    let first = seed.map { UInt64(bitPattern: Int64($0)) } ?? defaultSeed
    let configuration = SamplingParameters(
      temperature: temperature ?? 1, topK: topK, topP: topP ?? 1, minP: minP ?? 0,
      seed: first &+ UInt64(index))
    do { try configuration.validate() } catch { throw .invalid(error.message) }
    return configuration
  }

  /// The number of tokens to write, in what a prompt leaves of the context.
  static func tokens(
    _ wanted: Int?, default standard: Int, name: String, after prompt: Int, context: Int
  ) throws(APIError) -> Int {
    let wanted = wanted ?? standard
    guard wanted >= 0 else {
      throw .invalid("\(name) is \(wanted): expected 0 or more", param: name)
    }
    // The last token is written but not read.
    return min(wanted, max(1, context + 1 - prompt))
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
