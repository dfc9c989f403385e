/// The tokenizer's routes, which lm-evaluation-harness and llama.cpp's clients use.
extension ServerAPI {
  private struct TokenizeRequest: Decodable {
    let prompt: String?
    let content: String?
  }

  private struct DetokenizeRequest: Decodable { let tokens: [Int32] }

  /// `/tokenize`. Adds no special tokens.
  package func tokenize(_ body: [UInt8]) throws(APIError) -> Reply {
    struct Response: Encodable {
      let tokens: [Int32]
      let count: Int
      let maxLength: Int
      enum CodingKeys: String, CodingKey {
        case tokens
        case count
        case maxLength = "max_model_len"
      }
    }
    let request = try JSONBody.decode(TokenizeRequest.self, from: body)
    guard let prompt = request.prompt ?? request.content else {
      throw .invalid("prompt is missing", param: "prompt", code: "missing_parameter")
    }
    let tokens = tokenizer.encode(prompt)
    return .json(
      JSONBody.encode(
        Response(tokens: tokens, count: tokens.count, maxLength: engine.contextLength)))
  }

  /// `/detokenize`.
  package func detokenize(_ body: [UInt8]) throws(APIError) -> Reply {
    struct Response: Encodable {
      let prompt: String
      let content: String
    }
    let tokens = try JSONBody.decode(DetokenizeRequest.self, from: body).tokens
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
