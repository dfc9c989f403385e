/// The tokenizer's own answers, which lm-evaluation-harness and llama.cpp's clients ask for.
extension ServerAPI {
  private struct TokenizeRequest: Decodable {
    let prompt: String?
    let content: String?
  }

  private struct DetokenizeRequest: Decodable { let tokens: [Int32] }

  /// `/tokenize`: no token is added to those of the text.
  package func tokenize(_ body: [UInt8]) throws(APIError) -> Reply {
    struct Answer: Encodable {
      let tokens: [Int32]
      let count: Int
      let longest: Int
      enum CodingKeys: String, CodingKey {
        case tokens
        case count
        case longest = "max_model_len"
      }
    }
    let request = try JSONBody.decode(TokenizeRequest.self, from: body)
    guard let text = request.prompt ?? request.content else {
      throw .invalid("prompt is missing", param: "prompt", code: "missing_parameter")
    }
    let tokens = tokenizer.encode(text)
    return .json(
      JSONBody.encode(Answer(tokens: tokens, count: tokens.count, longest: engine.context)))
  }

  /// `/detokenize`.
  package func detokenize(_ body: [UInt8]) throws(APIError) -> Reply {
    struct Answer: Encodable {
      let prompt: String
      let content: String
    }
    let tokens = try JSONBody.decode(DetokenizeRequest.self, from: body).tokens
    if let bad = tokens.first(where: { tokenizer.bytes(of: $0) == nil }) {
      throw .invalid("token id \(bad) is no token of this model", param: "tokens")
    }
    let text = tokenizer.decode(tokens)
    return .json(JSONBody.encode(Answer(prompt: text, content: text)))
  }

  /// `/tokenizer_info`.
  package func tokenizerInfo() -> Reply {
    struct Answer: Encodable {
      let eosTokenIDs: String?
      let template: String?
      let vocabularySize: Int
      let longest: Int

      private enum CodingKeys: String, CodingKey {
        case start = "bos_token"
        case eosTokenIDs = "eos_token"
        case padding = "pad_token"
        case template = "chat_template"
        case vocabularySize = "vocab_size"
        case longest = "model_max_length"
      }

      func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encodeNil(forKey: .start)
        try values.encode(eosTokenIDs, forKey: .eosTokenIDs)
        try values.encode(eosTokenIDs, forKey: .padding)
        try values.encode(template, forKey: .template)
        try values.encode(vocabularySize, forKey: .vocabularySize)
        try values.encode(longest, forKey: .longest)
      }
    }
    let end = engine.configuration.eosTokenIDs.first ?? tokenizer.eosTokenIDs
    return .json(
      JSONBody.encode(
        Answer(
          eosTokenIDs: end.flatMap { tokenizer.bytes(of: $0) }.map {
            String(decoding: $0, as: UTF8.self)
          }, template: template.source, vocabularySize: tokenizer.vocabularySize,
          longest: engine.context)))
  }
}
