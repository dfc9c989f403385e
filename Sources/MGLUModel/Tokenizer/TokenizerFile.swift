#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Hugging Face's `tokenizer.json`, with a BPE model.
struct TokenizerFile {
  struct Added: Codable {
    let id: Int32
    let content: String
    var singleWord: Bool? = false
    var leftStrip: Bool? = false
    var rightStrip: Bool? = false
    var normalized: Bool? = false
    var special: Bool? = true

    enum CodingKeys: String, CodingKey {
      case id
      case content
      case singleWord = "single_word"
      case leftStrip = "lstrip"
      case rightStrip = "rstrip"
      case normalized
      case special
    }
  }

  var added: [Added] = []
  var normalizer: Component?
  var preTokenizer: Component?
  var postProcessor: Component?
  var decoder: Component?
  var model: Model

  /// Reads a document; throws for one that is damaged or not of this kind.
  init(json bytes: UnsafeBufferPointer<UInt8>) throws(TokenizerError) {
    var scanner = JSONScanner(bytes)
    var parts: [String: Range<Int>] = [:]
    var model: Model?
    try scanner.forEachMember { (scanner, name) throws(TokenizerError) in
      if name.elementsEqual("model".utf8), scanner.peek() == UInt8(ascii: "{") {
        model = try Model(&scanner)
      } else {
        parts[String(decoding: name, as: UTF8.self)] = try scanner.skipValue()
      }
    }
    try scanner.expectEnd()
    guard let model else { throw TokenizerError(.malformed, "the document lacks a model") }
    self.model = model
    added = try Self.value("added_tokens", of: parts, in: bytes) ?? []
    normalizer = try Self.value("normalizer", of: parts, in: bytes)
    preTokenizer = try Self.value("pre_tokenizer", of: parts, in: bytes)
    postProcessor = try Self.value("post_processor", of: parts, in: bytes)
    decoder = try Self.value("decoder", of: parts, in: bytes)
  }

  private static func value<T: Decodable>(
    _ name: String, of parts: [String: Range<Int>], in bytes: UnsafeBufferPointer<UInt8>
  ) throws(TokenizerError) -> T? {
    guard let range = parts[name] else { return nil }
    let document = Data(bytes[range])
    do { return try JSONDecoder().decode(T?.self, from: document) } catch let error as DecodingError
    {
      throw TokenizerError(.malformed, "\(name): \(error.summary(of: document))")
    } catch {
      throw TokenizerError(.malformed, "\(name): not valid JSON")
    }
  }

  static func unsupported(_ what: String) -> TokenizerError {
    TokenizerError(
      .unsupported,
      "\(what) is not understood: expected a BPE tokenizer as GPT-2, Llama, Qwen, Mistral or Gemma "
        + "have it")
  }

  /// A pattern, with a problem of it as one of the tokenizer.
  static func pattern(
    _ make: () throws(PatternParser.Problem) -> TextPattern
  ) throws(TokenizerError) -> TextPattern {
    do { return try make() } catch { throw unsupported("the pattern has \(error.reason), which") }
  }
}

extension TokenizerFile {
  /// The tokenizer that the document describes; throws for an unsupported or contradictory part.
  consuming func tokenizer(document: [UInt8]) throws(TokenizerError) -> Tokenizer {
    let preTokenizer = try PreTokenizer(self.preTokenizer)
    let normalizers = try Normalizer.steps(normalizer)
    let spellsBytes =
      preTokenizer.isByteLevel
      || normalizers.contains { if case .spell = $0 { true } else { false } }
    let decoder = try TokenDecoder(decoder, isByteLevel: spellsBytes)
    let added = try addedTokens()
    return Tokenizer(
      model: try model.bpe(isByteLevel: preTokenizer.isByteLevel), addedTokens: added,
      normalizers: normalizers, preTokenizer: preTokenizer, decoder: decoder,
      textStart: try textStart(added), document: document)
  }

  /// The added tokens, with the id of the vocabulary where it has them.
  private func addedTokens() throws(TokenizerError) -> [Tokenizer.AddedToken] {
    var ids: [Int32: String] = [:]
    var tokens: [Tokenizer.AddedToken] = []
    for token in added {
      let known = model.vocabulary.id(of: Array(token.content.utf8))
      let id = known ?? token.id
      guard (0..<Vocabulary.limit).contains(id) else {
        throw TokenizerError(
          .malformed,
          "the added token \(token.content) has id \(id): expected 0 to \(Vocabulary.limit - 1)")
      }
      guard known != nil || model.vocabulary.text(of: id) == nil,
        ids[id] == nil || ids[id] == token.content
      else { throw TokenizerError(.malformed, "token id \(id) is given twice") }
      if ids.updateValue(token.content, forKey: id) != nil { continue }
      tokens.append(
        Tokenizer.AddedToken(
          id: id, content: token.content, isSpecial: token.special ?? false,
          isNormalized: token.normalized ?? false, stripsLeft: token.leftStrip ?? false,
          stripsRight: token.rightStrip ?? false, isSingleWord: token.singleWord ?? false))
    }
    return tokens
  }

  /// The tokens that the post-processor puts before a sequence.
  private func textStart(_ added: [Tokenizer.AddedToken]) throws(TokenizerError) -> [Int32] {
    var start: [Int32] = []
    for part in postProcessor?.flattened(\.processors) ?? [] where part.type != "ByteLevel" {
      guard part.type == "TemplateProcessing", let pieces = part.single else {
        throw Self.unsupported("the post-processor \(part.type)")
      }
      guard let sequence = pieces.last?["Sequence"], sequence.id == "A" else {
        throw Self.unsupported("a template that puts tokens after the sequence")
      }
      for piece in pieces.dropLast() {
        let name = piece["SpecialToken"]?.id ?? ""
        guard let ids = part.specialTokens?[name]?.ids,
          ids.allSatisfy({ id in
            added.contains { $0.id == id } || model.vocabulary.text(of: id) != nil
          })
        else { throw TokenizerError(.malformed, "the template's \(name) is no token") }
        start += ids
      }
    }
    return start
  }
}
