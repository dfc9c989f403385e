/// The field `logprobs` of a completion, or of a chunk of one.
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
  mutating func append(_ token: TokenLogprob, at offset: inout Int, _ spelling: TokenSpelling) {
    tokens.append(spelling.string(token.id))
    tokenLogprobs.append(token.logprob)
    textOffset.append(offset)
    offset += spelling.characterCount(token.id)
    guard token.logprob != nil else { return topLogprobs.append(nil) }
    var top: [String: Float] = [:]
    for alternative in token.alternatives {
      let string = spelling.string(alternative.id)
      // Two ids may have the same spelling. Both are reported.
      top[top[string] == nil ? string : "token_id:\(alternative.id)"] = alternative.logprob
    }
    topLogprobs.append(top)
  }
}

/// An element of the field `logprobs.content` of a chat completion.
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

  init(_ token: TokenLogprob, top count: Int, _ spelling: TokenSpelling) {
    self.token = spelling.string(token.id)
    logprob = token.logprob ?? TokenLogprob.minimum
    bytes = spelling.bytes(token.id)
    topLogprobs = token.alternatives.prefix(count).map {
      Alternative(token: spelling.string($0.id), logprob: $0.logprob, bytes: spelling.bytes($0.id))
    }
  }
}
