/// The tokenizer of a GGUF file as the documents of a folder.
extension GGUFModel {
  /// The metadata as a `tokenizer.json`, if the file has a tokenizer.
  func tokenizer() throws(CheckpointError) -> JSONValue? {
    let key = "tokenizer.ggml.model"
    guard let model = try file.string(key), model != "none", model != "no_vocab" else { return nil }
    let vocabulary = try GGUFVocabulary(file)
    let ids = try vocabulary.ids(of: file)
    switch model {
    case "gpt2": return try byteLevel(vocabulary)
    case "llama": return try sentencePiece(vocabulary, ids)
    default:
      throw CheckpointError(
        .malformed,
        "\(path): \(key) is \(model.shown), expected gpt2 (byte-level BPE) or llama (SPM)")
    }
  }

  /// The special tokens as a `tokenizer_config.json`.
  func tokenizerConfiguration() throws(CheckpointError) -> JSONValue? {
    guard try file.string("tokenizer.ggml.model") != nil else { return nil }
    let vocabulary = try GGUFVocabulary(file)
    var keys: [(String, JSONValue)] = [
      ("tokenizer_class", .string("PreTrainedTokenizerFast")),
      ("add_bos_token", .bool(try addsStart())),
    ]
    for (key, role) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
      guard let id = try tokenID(role) else { continue }
      keys.append(("\(key)_token", .string(try vocabulary.token(id, role, of: file))))
    }
    return .object(keys)
  }

  private func preTokenizer() throws(CheckpointError) -> GGUFPreTokenizer {
    let key = "tokenizer.ggml.pre"
    let name = try file.string(key) ?? "default"
    guard let found = GGUFPreTokenizer.named(name) else {
      let names = GGUFPreTokenizer.all.compactMap(\.names.first).joined(separator: ", ")
      throw CheckpointError(
        .malformed, "\(path): \(key) is \(name.shown), which is unknown here; known are \(names)",
        remedy: "use the folder that the file was made from")
    }
    return found
  }

  private func addsStart() throws(CheckpointError) -> Bool {
    if let adds = try file.bool("tokenizer.ggml.add_bos_token") { return adds }
    if try file.string("tokenizer.ggml.model") == "llama" { return true }
    return try preTokenizer().addsStart
  }

  /// Byte-level BPE: GPT-2's kind, under the pattern that llama.cpp names.
  private func byteLevel(_ vocabulary: GGUFVocabulary) throws(CheckpointError) -> JSONValue {
    let preTokenizer = try preTokenizer()
    let added = try addedTokens(vocabulary)
    var members: [(String, JSONValue)] = []
    for (id, token) in vocabulary.tokens.enumerated()
    where vocabulary.kinds[id] != .unused && !token.isEmpty {
      members.append((token, .integer(id)))
    }
    let key = "tokenizer.ggml.merges"
    guard let merges = try file.strings(key) else { throw file.malformed(key, "is missing") }
    var pairs: [JSONValue] = []
    for (index, merge) in merges.enumerated() {
      guard let pair = Self.pair(merge) else {
        throw file.malformed("\(key)[\(index)]", "is \(merge.shown), expected two tokens")
      }
      pairs.append(pair)
    }
    return document(
      added: added, normalizer: preTokenizer.composes ? [("type", .string("NFC"))] : nil,
      preTokenizer: preTokenizer.document, start: try startTemplate(vocabulary),
      decoder: GGUFPreTokenizer.Step.byteLevel(usesPattern: true).document,
      model: [
        ("type", .string("BPE")), ("ignore_merges", .bool(preTokenizer.ignoresMerges)),
        ("vocab", .object(members)), ("merges", .array(pairs)),
      ])
  }

  /// BPE over characters, with a token for each byte: SentencePiece's kind.
  private func sentencePiece(
    _ vocabulary: GGUFVocabulary, _ ids: Vocabulary
  ) throws(CheckpointError) -> JSONValue {
    let added = try addedTokens(vocabulary)
    let pairs: [JSONValue]
    if let merges = try file.strings("tokenizer.ggml.merges") {
      pairs = merges.compactMap(Self.pair)
    } else {
      let key = "tokenizer.ggml.scores"
      guard let scores = try file.numbers(key), scores.count == vocabulary.tokens.count else {
        throw file.malformed(key, "is missing, or has not one score for each token")
      }
      pairs = GGUFMerges.pairs(ids, scores: scores).map {
        .array([.string($0.left), .string($0.right)])
      }
    }
    let named = try tokenID("unknown")
    let unknown = named ?? vocabulary.kinds.firstIndex(of: .unknown)
    let unknownToken: JSONValue =
      try unknown.map { id throws(CheckpointError) in
        .string(try vocabulary.token(id, "unknown", of: file))
      } ?? .null
    let prefixes = try file.bool("tokenizer.ggml.add_space_prefix") ?? true
    let mark = "\u{2581}"
    func replace(_ from: String, _ to: String) -> JSONValue {
      .object([
        ("type", .string("Replace")), ("pattern", .object([("String", .string(from))])),
        ("content", .string(to)),
      ])
    }
    let prepend = JSONValue.object([("type", .string("Prepend")), ("prepend", .string(mark))])
    let strip = JSONValue.object([
      ("type", .string("Strip")), ("content", .string(" ")), ("start", .integer(1)),
      ("stop", .integer(0)),
    ])
    let decoders =
      [replace(mark, " ")] + ["ByteFallback", "Fuse"].map { .object([("type", .string($0))]) }
      + (prefixes ? [strip] : [])
    return document(
      added: added,
      normalizer: [
        ("type", .string("Sequence")),
        ("normalizers", .array((prefixes ? [prepend] : []) + [replace(" ", mark)])),
      ],
      preTokenizer: .null, start: try startTemplate(vocabulary),
      decoder: .object([("type", .string("Sequence")), ("decoders", .array(decoders))]),
      model: [
        ("type", .string("BPE")), ("unk_token", unknownToken), ("fuse_unk", .bool(true)),
        ("byte_fallback", .bool(true)),
        (
          "vocab",
          .object(
            vocabulary.tokens.enumerated().compactMap { id, token in
              vocabulary.kinds[id] == .unused || token.isEmpty ? nil : (token, .integer(id))
            })
        ),
        ("merges", .array(pairs)),
      ])
  }

  private func document(
    added: JSONValue, normalizer: [(String, JSONValue)]?, preTokenizer: JSONValue,
    start: JSONValue, decoder: JSONValue, model: [(String, JSONValue)]
  ) -> JSONValue {
    .object([
      ("version", .string("1.0")), ("truncation", .null), ("padding", .null),
      ("added_tokens", added), ("normalizer", normalizer.map(JSONValue.object) ?? .null),
      ("pre_tokenizer", preTokenizer), ("post_processor", start), ("decoder", decoder),
      ("model", .object(model)),
    ])
  }

  /// The tokens that text may name: control tokens, the first and last of a text, and those that users
  /// defined.
  private func addedTokens(
    _ vocabulary: GGUFVocabulary
  ) throws(CheckpointError) -> JSONValue {
    var special: Set<Int> = []
    for role in ["bos", "eos"] {
      guard let id = try tokenID(role) else { continue }
      _ = try vocabulary.token(id, role, of: file)
      special.insert(id)
    }
    var tokens: [JSONValue] = []
    for (id, kind) in vocabulary.kinds.enumerated() where !vocabulary.tokens[id].isEmpty {
      let isSpecial = kind == .control || kind == .unknown || special.contains(id)
      guard isSpecial || kind == .userDefined else { continue }
      tokens.append(
        .object([
          ("id", .integer(id)), ("content", .string(vocabulary.tokens[id])),
          ("single_word", .bool(false)), ("lstrip", .bool(false)), ("rstrip", .bool(false)),
          ("normalized", .bool(false)), ("special", .bool(isSpecial)),
        ]))
    }
    return .array(tokens)
  }

  /// The template that puts the first token before a text and the last one behind it, as the file asks.
  private func startTemplate(_ vocabulary: GGUFVocabulary) throws(CheckpointError) -> JSONValue {
    var tokens: [(String, JSONValue)] = []
    func special(_ role: String) throws(CheckpointError) -> JSONValue {
      guard let id = try tokenID(role) else {
        throw file.malformed("tokenizer.ggml.\(role)_token_id", "is missing, but is to be added")
      }
      let token = try vocabulary.token(id, role, of: file)
      if !tokens.contains(where: { $0.0 == token }) {
        tokens.append(
          (
            token,
            .object([
              ("id", .string(token)), ("ids", .array([.integer(id)])),
              ("tokens", .array([.string(token)])),
            ])
          ))
      }
      return .object([
        ("SpecialToken", .object([("id", .string(token)), ("type_id", .integer(0))]))
      ])
    }
    func sequence(_ name: String, _ type: Int) -> JSONValue {
      .object([("Sequence", .object([("id", .string(name)), ("type_id", .integer(type))]))])
    }
    let start = try addsStart() ? [try special("bos")] : []
    let end = try file.bool("tokenizer.ggml.add_eos_token") == true ? [try special("eos")] : []
    if start.isEmpty, end.isEmpty { return .null }
    return .object([
      ("type", .string("TemplateProcessing")),
      ("single", .array(start + [sequence("A", 0)] + end)),
      ("pair", .array(start + [sequence("A", 0)] + end + start + [sequence("B", 1)] + end)),
      ("special_tokens", .object(tokens)),
    ])
  }

  /// A merge, whose two tokens a space separates.
  private static func pair(_ merge: String) -> JSONValue? {
    let parts = merge.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard parts.count == 2, let left = String(parts[0]), let right = String(parts[1]) else {
      return nil
    }
    return .array([.string(left), .string(right)])
  }
}
