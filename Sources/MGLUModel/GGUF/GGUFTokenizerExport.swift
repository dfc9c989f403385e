#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

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
    guard let file = try ModelFolder.decode(TokenizerFile.self, "tokenizer.json", of: parts) else {
      throw CheckpointError(
        .notExportable, "\(place): no such file; a GGUF file has the tokenizer with the model",
        remedy: "put the tokenizer.json of the model into its folder")
    }
    let tokenizer: Tokenizer
    do { tokenizer = try Tokenizer(contentsOf: parts.path) } catch {
      throw CheckpointError(.notExportable, error.message, remedy: error.remedy)
    }
    guard tokenizer.vocabularySize <= configuration.vocabularySize else {
      throw CheckpointError(
        .disagreement,
        "\(place): \(tokenizer.vocabularySize) tokens, the model has "
          + "\(configuration.vocabularySize)")
    }
    let name = try name(of: file, place: place)
    let (tokens, kinds) = vocabulary(of: file, count: configuration.vocabularySize)
    let merges = (file.model.merges ?? []).map { "\($0.left) \($0.right)" }
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

  /// llama.cpp's name of the way that `file` cuts text into words.
  private static func name(
    of file: TokenizerFile, place: String
  ) throws(CheckpointError) -> String {
    let steps = (file.preTokenizer?.parts ?? []).map { part -> GGUFPreTokenizer.Step? in
      switch part.type {
      case "Digits" where part.individualDigits == true: .digits
      case "Split" where part.behavior == "Isolated" && part.invert != true:
        part.pattern?["Regex"].map { .split($0) }
      case "ByteLevel" where part.addPrefixSpace == false:
        .byteLevel(usesPattern: part.useRegex ?? true)
      default: nil
      }
    }
    let ignoresMerges = file.model.ignoreMerges ?? false
    let found = GGUFPreTokenizer.all.first {
      $0.steps == steps && $0.ignoresMerges == ignoresMerges
    }
    guard let found else {
      let types = (file.preTokenizer?.parts ?? []).map { part in
        part.pattern?["Regex"].map { "\(part.type) \($0)" } ?? part.type
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
    of file: TokenizerFile, count: Int
  ) -> (tokens: [String], kinds: [GGUFVocabulary.Kind]) {
    var tokens = (0..<count).map { "[PAD\($0)]" }
    var kinds = [GGUFVocabulary.Kind](repeating: .unused, count: count)
    for (token, id) in file.model.vocabulary ?? [:] {
      (tokens[Int(id)], kinds[Int(id)]) = (token, .normal)
    }
    for token in file.added ?? [] {
      tokens[Int(token.id)] = token.content
      kinds[Int(token.id)] = token.special ?? false ? .control : .userDefined
    }
    return (tokens, kinds)
  }
}
