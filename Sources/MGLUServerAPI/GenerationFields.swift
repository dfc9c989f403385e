/// The fields that completions and chats share.
struct GenerationFields {
  let isStreamed: Bool
  let includesUsage: Bool
  /// How many sequences each prompt gets.
  let count: Int
  /// The stop sequences, without empty ones.
  let stopSequences: [String]
  private let sampling: SamplingParameters
  private let seed: UInt64?
  private let minTokens: Int
  private let stopTokenIDs: [Int32]
  private let ignoresEOS: Bool

  /// The names of the fields.
  static let names: Set<String> = [
    "temperature", "top_p", "top_k", "min_p", "seed", "n", "stop", "stream", "stream_options",
    "presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias", "min_tokens",
    "stop_token_ids", "ignore_eos", "max_tokens",
  ]

  /// Maximum number of sequences of a request.
  static let maxSequences = 1024
  /// Maximum number of stop sequences, and of their bytes: what finds them takes some 40 times as
  /// many.
  private static let (maxStopSequences, maxStopBytes) = (256, 1 << 16)
  /// Maximum number of biases. Every step writes those of all its sequences: 256 sequences with so
  /// many take a third of a millisecond and 4 MiB.
  private static let maxBiases = 1024
  /// Maximum number of tokens that end a sequence. `min_tokens` makes a bias of each.
  private static let maxStopTokens = 1024

  /// Reads the fields of a request to a model of `vocabularySize` tokens.
  init(_ fields: RequestFields, vocabularySize: Int) throws(APIError) {
    isStreamed = try fields.boolean("stream") ?? false
    includesUsage = try Self.includesUsage(fields)
    count = try fields.integer("n") ?? 1
    guard (1...Self.maxSequences).contains(count) else {
      throw .invalid("n is \(count): expected 1 to \(Self.maxSequences)", param: "n")
    }
    stopSequences = try Self.stopSequences(fields)
    seed = try fields.integer("seed").map { UInt64(bitPattern: Int64($0)) }
    sampling = try Self.sampling(fields, vocabularySize: vocabularySize)
    minTokens = try fields.integer("min_tokens") ?? 0
    guard minTokens >= 0 else {
      throw .invalid("min_tokens is \(minTokens): expected 0 or more", param: "min_tokens")
    }
    ignoresEOS = try fields.boolean("ignore_eos") ?? false
    stopTokenIDs = try fields.tokens("stop_token_ids") ?? []
    guard stopTokenIDs.count <= Self.maxStopTokens else {
      throw .invalid(
        "stop_token_ids has \(stopTokenIDs.count) ids: expected at most \(Self.maxStopTokens)",
        param: "stop_token_ids", code: "invalid_value")
    }
    if let id = stopTokenIDs.first(where: { !(0..<vocabularySize).contains(Int($0)) }) {
      throw .invalid(
        "stop_token_ids has \(id): expected 0 to \(vocabularySize - 1)", param: "stop_token_ids")
    }
  }

  private static func includesUsage(_ fields: RequestFields) throws(APIError) -> Bool {
    guard let options = try fields.object("stream_options") else { return false }
    for name in options.names
    where name != "include_usage" && name != "include_obfuscation" {
      if case .boolean(false)? = options[name] { continue }
      throw RequestPolicy.unsupported(options.path(name))
    }
    return try options.boolean("include_usage") ?? false
  }

  private static func stopSequences(_ fields: RequestFields) throws(APIError) -> [String] {
    var stops: [String] = []
    switch fields["stop"] {
    case nil: break
    case .string(let stop)?: stops = [stop]
    case .list(let values)?:
      for value in values {
        guard case .string(let stop) = value else {
          throw fields.wrong("stop", expected: "a string, or a list of strings")
        }
        stops.append(stop)
      }
    default: throw fields.wrong("stop", expected: "a string, or a list of strings")
    }
    stops.removeAll(where: \.isEmpty)
    guard stops.count <= maxStopSequences else {
      throw .invalid(
        "\(stops.count) stop sequences: expected at most \(maxStopSequences)", param: "stop")
    }
    let byteCount = stops.reduce(0) { $0 + $1.utf8.count }
    guard byteCount <= maxStopBytes else {
      throw .invalid(
        "stop has \(byteCount) bytes in all: expected at most \(maxStopBytes); shorten the stop "
          + "sequences", param: "stop", code: "invalid_value")
    }
    return stops
  }

  private static func sampling(
    _ fields: RequestFields, vocabularySize: Int
  ) throws(APIError) -> SamplingParameters {
    // In vLLM, -1 means all tokens.
    let topK = try fields.integer("top_k") ?? 0
    var sampling = SamplingParameters(
      temperature: try fields.number("temperature") ?? 1, topK: topK == -1 ? 0 : topK,
      topP: try fields.number("top_p") ?? 1, minP: try fields.number("min_p") ?? 0)
    sampling.repetitionPenalty = try fields.number("repetition_penalty") ?? 1
    sampling.presencePenalty = try fields.number("presence_penalty") ?? 0
    sampling.frequencyPenalty = try fields.number("frequency_penalty") ?? 0
    if let biases = try fields.object("logit_bias") {
      guard biases.all.count <= maxBiases else {
        throw .invalid(
          "logit_bias has \(biases.all.count) entries: expected at most \(maxBiases)",
          param: "logit_bias", code: "invalid_value")
      }
      for name in biases.names {
        guard let id = Int32(name), (0..<vocabularySize).contains(Int(id)) else {
          throw .invalid(
            "logit_bias of \(name): expected token ids from 0 to \(vocabularySize - 1)",
            param: "logit_bias", code: "invalid_value")
        }
        if let bias = try biases.number(name), bias != 0 { sampling.logitBias[id] = bias }
      }
    }
    do { try sampling.validate() } catch {
      throw .invalid(error.message, param: Self.name(of: error), code: "invalid_value")
    }
    return sampling
  }

  /// The field that an error of sampling parameters speaks of.
  private static func name(of error: GenerationError) -> String? {
    [
      "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty",
      "frequency_penalty", "logit_bias",
    ].first { name in
      let words = name.replacing("_", with: " ")
      return error.message.replacing("-", with: " ").hasPrefix(words)
    }
  }

  /// The sequences that continue `prompt`.
  ///
  /// - Parameters:
  ///   - prompt: The tokens of the prompt.
  ///   - maxTokens: Most tokens of each sequence.
  ///   - defaultSeed: The seed of the first sequence, unless the request has one.
  func sequences(
    _ prompt: [Int32], maxTokens: Int, defaultSeed: UInt64, topLogprobs: Int? = nil,
    promptLogprobs: Bool = false
  ) throws(APIError) -> [GenerationRequest] {
    guard maxTokens >= 0 else {
      throw .invalid("max_tokens is \(maxTokens): expected 0 or more", param: "max_tokens")
    }
    guard minTokens <= maxTokens else {
      throw .invalid(
        "min_tokens is \(minTokens): expected at most max_tokens, \(maxTokens)",
        param: "min_tokens")
    }
    return (0..<count).map { index in
      var sampling = sampling
      sampling.seed = (seed ?? defaultSeed) &+ UInt64(index)
      var request = GenerationRequest(
        prompt: prompt, maxTokens: maxTokens, sampling: sampling, topLogprobs: topLogprobs,
        promptLogprobs: promptLogprobs, ignoresEOS: ignoresEOS)
      request.stopTokenIDs = stopTokenIDs
      request.minTokens = minTokens
      return request
    }
  }

  /// The stop sequences of a chat: those of the template end a response as EOS tokens do.
  func stopSequences(_ template: ChatTemplate) -> [String] {
    stopSequences + (ignoresEOS ? [] : template.stopSequences)
  }
}
