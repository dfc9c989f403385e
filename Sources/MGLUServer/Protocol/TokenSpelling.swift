/// Tokens as answers spell them.
struct TokenSpelling {
  let tokenizer: Tokenizer

  /// The text of a token, or, where its bytes are no text of their own, their spelling.
  func text(_ id: Int32) -> String {
    let bytes = tokenizer.bytes(of: id) ?? []
    if let text = String(validating: bytes, as: UTF8.self) { return text }
    return "bytes:"
      + bytes.map { byte in
        let digits = String(byte, radix: 16)
        return "\\x" + (digits.count < 2 ? "0" : "") + digits
      }.joined()
  }

  func bytes(_ id: Int32) -> [UInt8] { tokenizer.bytes(of: id) ?? [] }

  /// How many characters (Unicode scalars, as Python counts) begin in a token.
  func characters(_ id: Int32) -> Int { bytes(id).count { $0 & 0xc0 != 0x80 } }
}

/// The `logprobs` of a completion, or of a piece of one.
struct CompletionLogprobs: Encodable {
  private var tokens: [String] = []
  private var tokenLogprobs: [Float?] = []
  private var topLogprobs: [[String: Float]?] = []
  private var textOffset: [Int] = []

  enum CodingKeys: String, CodingKey {
    case tokens
    case tokenLogprobs = "token_logprobs"
    case topLogprobs = "top_logprobs"
    case textOffset = "text_offset"
  }

  /// Adds a token that begins at the character `offset`, and moves `offset` to its end.
  mutating func append(_ score: TokenLogprob, at offset: inout Int, _ spelling: TokenSpelling) {
    tokens.append(spelling.text(score.id))
    tokenLogprobs.append(score.logprob)
    textOffset.append(offset)
    offset += spelling.characters(score.id)
    guard score.logprob != nil else { return topLogprobs.append(nil) }
    var top: [String: Float] = [:]
    for alternative in score.alternatives {
      let text = spelling.text(alternative.id)
      // Two ids may have the same text: neither may take the other's place.
      top[top[text] == nil ? text : "token_id:\(alternative.id)"] = alternative.logprob
    }
    topLogprobs.append(top)
  }
}

/// An element of the `logprobs.content` of a chat.
struct ChatLogprob: Encodable {
  struct Alternative: Encodable {
    let token: String
    let logprob: Float
    let bytes: [UInt8]
  }

  let token: String
  let logprob: Float
  let bytes: [UInt8]
  let topLogprobs: [Alternative]

  enum CodingKeys: String, CodingKey {
    case token
    case logprob
    case bytes
    case topLogprobs = "top_logprobs"
  }

  init(_ score: TokenLogprob, top count: Int, _ spelling: TokenSpelling) {
    token = spelling.text(score.id)
    logprob = score.logprob ?? LogprobScorer.least
    bytes = spelling.bytes(score.id)
    topLogprobs = score.alternatives.prefix(count).map {
      Alternative(token: spelling.text($0.id), logprob: $0.logprob, bytes: spelling.bytes($0.id))
    }
  }
}
