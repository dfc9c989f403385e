/// A tokenizer of Hugging Face's as the metadata of a GGUF file.
enum GGUFTokenizerExport {
  /// The keys of the tokenizer and the chat template of a model.
  ///
  /// - Throws: where llama.cpp has no name for the way the tokenizer cuts text, or no means for
  ///   another part of it.
  static func metadata(
    of parts: any ModelParts, for configuration: ModelConfiguration
  ) throws(CheckpointError) -> [(String, GGUFWriter.Value)] {
    let place = parts.place(of: "tokenizer.json")
    guard let document = try parts.document("tokenizer.json") else {
      throw CheckpointError(
        .notExportable, "\(place): no such file; a GGUF file has the tokenizer with the model",
        remedy: "put the tokenizer.json of the model into its folder")
    }
    let tokenizer: Tokenizer
    do { tokenizer = try Tokenizer(json: document) } catch {
      throw CheckpointError(.notExportable, "\(place): \(error.message)", remedy: error.remedy)
    }
    guard tokenizer.vocabularySize <= configuration.vocabularySize else {
      throw CheckpointError(
        .disagreement,
        "\(place): \(tokenizer.vocabularySize) tokens, the model has "
          + "\(configuration.vocabularySize)")
    }
    if let problem = problem(of: tokenizer) {
      throw CheckpointError(.notExportable, "\(place): llama.cpp has no means for \(problem)")
    }
    let name = try name(of: tokenizer, place: place)
    let (tokens, kinds) = vocabulary(of: tokenizer, count: configuration.vocabularySize)
    let merges = tokenizer.model.merges.ranked.map {
      "\(tokens[Int($0.left)]) \(tokens[Int($0.right)])"
    }
    var keys: [(String, GGUFWriter.Value)] = [
      ("model", .string("gpt2")), ("pre", .string(name)), ("tokens", .strings(tokens)),
      ("token_type", .int32s(kinds.map(\.rawValue))), ("merges", .strings(merges)),
    ]
    let start = tokenizer.textStart
    guard start.count <= 1 else {
      throw CheckpointError(
        .notExportable, "\(place): \(start.count) tokens begin a text, llama.cpp puts at most one")
    }
    let ends = configuration.eosTokenIDs.map(Int.init)
    let first = (start.first ?? configuration.bosTokenID).map(Int.init) ?? ends.first
    if let first { keys.append(("bos_token_id", .uint32(first))) }
    // llama.cpp has an end of a document and one of a turn.
    for (role, id) in zip(["eos", "eot"], ends) { keys.append(("\(role)_token_id", .uint32(id))) }
    keys.append(("add_bos_token", .bool(!start.isEmpty)))
    keys.append(("add_space_prefix", .bool(false)))
    var metadata = keys.map { ("tokenizer.ggml.\($0.0)", $0.1) }
    if let template = try ChatTemplate(contentsOf: parts.path).source {
      metadata.append(("tokenizer.chat_template", .string(template)))
    }
    return metadata
  }

  /// What llama.cpp would tokenize differently, apart from the way to cut text into words.
  private static func problem(of tokenizer: Tokenizer) -> String? {
    for step in tokenizer.normalizers {
      // Qwen's: llama.cpp leaves it out for all.
      guard case .form(.nfc) = step else { return "its normalizer" }
    }
    if !tokenizer.model.fallback.isEmpty { return "byte_fallback without scores of tokens" }
    let token = tokenizer.addedTokens.first { $0.stripsLeft || $0.stripsRight || $0.isSingleWord }
    return token.map { "the added token \($0.content.shown) with lstrip, rstrip or single_word" }
  }

  /// llama.cpp's name of the way that `tokenizer` cuts text into words.
  private static func name(
    of tokenizer: Tokenizer, place: String
  ) throws(CheckpointError) -> String {
    let parts = tokenizer.preTokenizer.component?.flattened(\.preTokenizers) ?? []
    let steps = parts.map { part -> GGUFPreTokenizer.Step? in
      switch part.type {
      case "Digits" where part.individualDigits == true: .digits
      case "Split" where part.behavior == "Isolated" && part.invert != true:
        part.pattern?["Regex"].map { .split($0) }
      case "ByteLevel" where part.addPrefixSpace == false:
        .byteLevel(usesPattern: part.useRegex ?? true)
      default: nil
      }
    }
    let ignoresMerges = tokenizer.model.ignoresMerges
    let found = GGUFPreTokenizer.all.first {
      $0.steps == steps && $0.ignoresMerges == ignoresMerges
    }
    guard let found else {
      let types = parts.map { part in
        part.pattern?["Regex"].map { "\(part.type) \($0.shown)" } ?? part.type
      }
      throw CheckpointError(
        .notExportable,
        "\(place): llama.cpp has no name for the pre-tokenizer [\(types.joined(separator: ", "))] "
          + "with ignore_merges \(ignoresMerges)")
    }
    return found.names[0]
  }

  /// Spelling and type of every id. Ids without a token get names that no text has.
  private static func vocabulary(
    of tokenizer: Tokenizer, count: Int
  ) -> (tokens: [String], kinds: [GGUFVocabulary.Kind]) {
    var tokens: [String] = []
    var kinds: [GGUFVocabulary.Kind] = []
    for id in 0..<Int32(clamping: count) {
      let text = tokenizer.model.vocabulary.text(of: id)
      tokens.append(text.map { String(decoding: $0, as: UTF8.self) } ?? "[PAD\(id)]")
      kinds.append(text == nil ? .unused : .normal)
    }
    for token in tokenizer.addedTokens {
      tokens[Int(token.id)] = token.content
      kinds[Int(token.id)] = token.isSpecial ? .control : .userDefined
    }
    return (tokens, kinds)
  }
}
