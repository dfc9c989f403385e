extension TokenizerFile {
  /// The model of a document: tokens and merges.
  struct Model {
    private(set) var vocabulary = Vocabulary()
    private(set) var merges = MergeTable()
    private var unknown: String?
    private var fusesUnknown = false
    private var byteFallback = false
    private var ignoresMerges = false

    /// Reads the object at which `scanner` stands.
    init(_ scanner: inout JSONScanner) throws(TokenizerError) {
      var (type, hasVocabulary, hasMerges) = ("BPE", false, false)
      /// The merges, if they stand before the vocabulary.
      var early: JSONScanner?
      try scanner.forEachMember { (scanner, name) throws(TokenizerError) in
        switch String(decoding: name, as: UTF8.self) {
        case "type": type = try scanner.readText() ?? type
        case "vocab":
          if scanner.peek() != UInt8(ascii: "{") { _ = try scanner.skipValue(); return }
          try readVocabulary(&scanner)
          hasVocabulary = true
        case "merges":
          if scanner.peek() != UInt8(ascii: "[") { _ = try scanner.skipValue(); return }
          hasMerges = true
          if hasVocabulary {
            try readMerges(&scanner)
          } else {
            early = scanner
            _ = try scanner.skipValue()
          }
        case "unk_token": unknown = try scanner.readText()
        case "fuse_unk": fusesUnknown = try scanner.readFlag()
        case "byte_fallback": byteFallback = try scanner.readFlag()
        case "ignore_merges": ignoresMerges = try scanner.readFlag()
        case "dropout":
          let range = try scanner.skipValue()
          let value = String(decoding: scanner.bytes[range], as: UTF8.self)
          if value != "null", Double(value) != 0 { throw TokenizerFile.unsupported("dropout") }
        case "continuing_subword_prefix", "end_of_word_suffix":
          if !(try scanner.readText() ?? "").isEmpty {
            throw TokenizerFile.unsupported("a subword prefix or suffix")
          }
        default: _ = try scanner.skipValue()
        }
      }
      if type != "BPE" { throw TokenizerFile.unsupported("a \(type) model") }
      guard hasVocabulary, hasMerges else {
        throw TokenizerError(.malformed, "the model lacks vocab or merges")
      }
      if var early { try readMerges(&early) }
    }

    private mutating func readVocabulary(_ scanner: inout JSONScanner) throws(TokenizerError) {
      // A token takes about twelve bytes.
      vocabulary = Vocabulary(capacity: min(1 << 18, (scanner.bytes.count - scanner.position) / 12))
      try scanner.forEachMember { (scanner, name) throws(TokenizerError) in
        let id = try scanner.readInteger()
        guard vocabulary.insert(name, id: id) else {
          throw TokenizerError(
            .malformed,
            "token id \(id) is given twice or not from 0 to \(Vocabulary.limit - 1)")
        }
      }
    }

    private mutating func readMerges(_ scanner: inout JSONScanner) throws(TokenizerError) {
      merges = MergeTable(capacity: min(1 << 19, (scanner.bytes.count - scanner.position) / 16))
      var (left, right, rank) = ([UInt8](), [UInt8](), Int32(0))
      try scanner.forEachElement { (scanner) throws(TokenizerError) in
        if scanner.skip("[") {
          try scanner.readString(into: &left)
          try scanner.expect(",")
          try scanner.readString(into: &right)
          try scanner.expect("]")
        } else {
          // The older spelling: two tokens with a space between.
          try scanner.readString(into: &left)
          guard let space = left.firstIndex(of: UInt8(ascii: " ")),
            !left[(space + 1)...].contains(UInt8(ascii: " "))
          else { throw TokenizerError(.malformed, "merge \(rank) does not join two tokens") }
          right.removeAll(keepingCapacity: true)
          right += left[(space + 1)...]
          left.removeLast(left.count - space)
        }
        let ids = (vocabulary.id(of: left), vocabulary.id(of: right))
        let count = left.count
        left += right
        guard let leftID = ids.0, let rightID = ids.1, let id = vocabulary.id(of: left) else {
          let names = [left[..<count], right[...]].map { String(decoding: $0, as: UTF8.self) }
          throw TokenizerError(
            .malformed, "merge \(rank) of \(names[0]) and \(names[1]): a token is missing")
        }
        // A pair given twice keeps its first rank.
        merges.insert(leftID, rightID, .init(rank: rank, id: id))
        rank += 1
      }
    }

    /// The model to encode with.
    ///
    /// - Parameter isByteLevel: Whether words are bytes.
    func bpe(isByteLevel: Bool) throws(TokenizerError) -> BPEModel {
      let id = unknown.flatMap { vocabulary.id(of: Array($0.utf8)) }
      let model = BPEModel(
        vocabulary: vocabulary, merges: merges, unknown: id, fusesUnknown: fusesUnknown,
        ignoresMerges: ignoresMerges, byteFallback: byteFallback)
      // With a token for every byte nothing is unknown.
      if let unknown, id == nil, !isByteLevel || model.byteIDs.contains(-1) {
        throw TokenizerError(.malformed, "the vocabulary lacks the unk_token \(unknown)")
      }
      return model
    }
  }
}

extension JSONScanner {
  /// Reads a string or null.
  fileprivate mutating func readText() throws(TokenizerError) -> String? {
    if peek() != UInt8(ascii: "\"") {
      let range = try skipValue()
      guard bytes[range].elementsEqual("null".utf8) else { throw Self.malformed(range.lowerBound) }
      return nil
    }
    var text: [UInt8] = []
    try readString(into: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Reads true, false or null.
  fileprivate mutating func readFlag() throws(TokenizerError) -> Bool {
    _ = peek()
    let range = try skipValue()
    switch String(decoding: bytes[range], as: UTF8.self) {
    case "true": return true
    case "false", "null": return false
    default: throw Self.malformed(range.lowerBound)
    }
  }
}
