extension ModelFolder {
  /// The id of the `eos_token` of `tokenizer_config.json`, which that file or `tokenizer.json` has; `nil`
  /// where there is none. What cannot be read is an error where the tokenizer itself is read.
  static func eosTokenID(ofTokenizerOf parts: any ModelParts) -> Int32? {
    guard
      let configuration = try? decode(
        TokenizerConfiguration.self, "tokenizer_config.json", of: parts),
      let end = configuration.eosToken?.content
    else { return nil }
    if let found = configuration.addedTokens?.first(where: { $0.value.content == end }) {
      return Int32(found.key)
    }
    guard let file = try? decode(TokenizerIDs.self, "tokenizer.json", of: parts) else {
      return nil
    }
    return file.addedTokens?.first { $0.content == end }?.id ?? file.model?.vocabulary?[end]
  }

  /// What a `tokenizer_config.json` says of the end of a text.
  private struct TokenizerConfiguration: Decodable {
    let eosToken: Token?
    let addedTokens: [String: Token]?

    enum CodingKeys: String, CodingKey {
      case eosToken = "eos_token"
      case addedTokens = "added_tokens_decoder"
    }
  }

  /// A token as a text, or with all that is known of it.
  private struct Token: Decodable {
    let content: String

    private enum CodingKeys: String, CodingKey { case content }

    init(from decoder: any Decoder) throws {
      if let text = try? decoder.singleValueContainer().decode(String.self) {
        content = text
      } else {
        content = try decoder.container(keyedBy: CodingKeys.self)
          .decode(String.self, forKey: .content)
      }
    }
  }

  /// The ids of a `tokenizer.json`.
  private struct TokenizerIDs: Decodable {
    let addedTokens: [AddedToken]?
    let model: Model?

    enum CodingKeys: String, CodingKey {
      case addedTokens = "added_tokens"
      case model
    }

    struct AddedToken: Decodable {
      let id: Int32
      let content: String
    }

    struct Model: Decodable {
      /// Of models whose vocabulary maps tokens to ids, as BPE's.
      let vocabulary: [String: Int32]?

      private enum CodingKeys: String, CodingKey { case vocabulary = "vocab" }

      init(from decoder: any Decoder) throws {
        vocabulary = try? decoder.container(keyedBy: CodingKeys.self)
          .decode([String: Int32].self, forKey: .vocabulary)
      }
    }
  }
}
