/// The tokenizer's routes, which lm-evaluation-harness and llama.cpp's clients use.
extension ServerAPI {
  private static let tokenizeNames: Set<String> = [
    "prompt", "content", "add_special", "add_special_tokens", "with_pieces", "return_token_strs",
  ]

  /// `/tokenize`. Adds no special tokens unless the request asks for them.
  package func tokenize(_ body: [UInt8]) async throws(APIError) -> Reply {
    try await longWork.run(body.count) { () throws(APIError) in try tokenized(body) }
  }

  private func tokenized(_ body: [UInt8]) throws(APIError) -> Reply {
    let fields = try RequestFields(try JSONBody.read(body))
    try RequestPolicy.check(fields, read: Self.tokenizeNames)
    guard let prompt = try fields.string(fields.first(of: "content", "prompt")) else {
      throw fields.missing("prompt")
    }
    let addsSpecial =
      try fields.boolean(fields.first(of: "add_special", "add_special_tokens")) ?? false
    let tokens = tokenizer.encode(prompt, addsSpecialTokens: addsSpecial)
    let hasPieces = try fields.boolean("with_pieces") ?? false
    let hasStrings = try fields.boolean("return_token_strs") ?? false
    try ResponseLimits.checkPieces(
      tokens.count, forms: (hasPieces ? 1 : 0) + (hasStrings ? 1 : 0))
    return .json(
      JSONBody.encode(
        TokenizeResponse(
          tokens: tokens, pieces: hasPieces ? tokens.map { spelling.bytes($0) } : nil,
          strings: hasStrings ? tokens.map { spelling.string($0) } : nil,
          maxLength: engine.contextLength)))
  }

  /// `/detokenize`.
  package func detokenize(_ body: [UInt8]) async throws(APIError) -> Reply {
    try await longWork.run(body.count) { () throws(APIError) in try detokenized(body) }
  }

  private func detokenized(_ body: [UInt8]) throws(APIError) -> Reply {
    struct Response: Encodable {
      let prompt: String
      let content: String
    }
    let fields = try RequestFields(try JSONBody.read(body))
    try RequestPolicy.check(fields, read: ["tokens"])
    guard let tokens = try fields.tokens("tokens") else { throw fields.missing("tokens") }
    if let bad = tokens.first(where: { tokenizer.bytes(of: $0) == nil }) {
      throw .invalid("token id \(bad) is not a token of this model", param: "tokens")
    }
    let prompt = tokenizer.decode(tokens)
    return .json(JSONBody.encode(Response(prompt: prompt, content: prompt)))
  }

  /// `/tokenizer_info`.
  package func tokenizerInfo() -> Reply {
    struct Response: Encodable {
      let eosToken: String?
      let template: String?
      let vocabularySize: Int
      let maxLength: Int

      private enum CodingKeys: String, CodingKey {
        case bosToken = "bos_token"
        case eosToken = "eos_token"
        case padToken = "pad_token"
        case template = "chat_template"
        case vocabularySize = "vocab_size"
        case maxLength = "model_max_length"
      }

      func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encodeNil(forKey: .bosToken)
        try values.encode(eosToken, forKey: .eosToken)
        try values.encode(eosToken, forKey: .padToken)
        try values.encode(template, forKey: .template)
        try values.encode(vocabularySize, forKey: .vocabularySize)
        try values.encode(maxLength, forKey: .maxLength)
      }
    }
    let id = engine.configuration.eosTokenIDs.first ?? tokenizer.eosTokenID
    return .json(
      JSONBody.encode(
        Response(
          eosToken: id.flatMap { tokenizer.bytes(of: $0) }.map {
            String(decoding: $0, as: UTF8.self)
          }, template: template.source, vocabularySize: tokenizer.vocabularySize,
          maxLength: engine.contextLength)))
  }
}

/// The response of `/tokenize`, as vLLM has it, and, with pieces, as llama.cpp's server has it.
private struct TokenizeResponse: Encodable {
  let tokens: [Int32]
  /// The bytes of each token, if they are wanted.
  let pieces: [[UInt8]]?
  let strings: [String]?
  let maxLength: Int

  private enum CodingKeys: String, CodingKey {
    case tokens
    case count
    case strings = "token_strs"
    case maxLength = "max_model_len"
  }

  /// A token with its text, or its bytes where they are no text by themselves.
  private struct Piece: Encodable {
    let id: Int32
    let bytes: [UInt8]

    private enum CodingKeys: CodingKey { case id, piece }

    func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(id, forKey: .id)
      if let text = String(validating: bytes, as: UTF8.self) {
        try values.encode(text, forKey: .piece)
      } else {
        try values.encode(bytes, forKey: .piece)
      }
    }
  }

  func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    if let pieces {
      try values.encode(zip(tokens, pieces).map { Piece(id: $0, bytes: $1) }, forKey: .tokens)
    } else {
      try values.encode(tokens, forKey: .tokens)
    }
    try values.encode(tokens.count, forKey: .count)
    try values.encodeIfPresent(strings, forKey: .strings)
    try values.encode(maxLength, forKey: .maxLength)
  }
}
