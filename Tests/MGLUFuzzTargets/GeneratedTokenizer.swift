/// A `tokenizer.json` whose components belong together, with a mistake now and then.
enum GeneratedTokenizer {
  /// The spellings of all bytes, as byte-level vocabularies have them.
  private static let alphabet: [String] = {
    let plain = Set(33...126).union(161...172).union(174...255)
    var next: UInt32 = 256
    return (0..<256).map { byte in
      guard !plain.contains(byte) else { return String(Unicode.Scalar(UInt8(byte))) }
      defer { next += 1 }
      return Unicode.Scalar(next).map { String($0) } ?? ""
    }
  }()
  private static let pattern =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"#
    + #"\s*[\r\n]+|\s+(?!\S)|\s+"#

  static func document(_ choices: inout ByteChoices) -> String {
    let isByteLevel = !choices.isOne(of: 2)
    var words =
      isByteLevel
      ? alphabet
      : (0..<256).map { "<0x\($0 < 16 ? "0" : "")\(String($0, radix: 16, uppercase: true))>" }
        + ["▁", "a", "b", "c", "é", "日", "e", "\u{301}", "<unk>"]
    var vocabulary = words.enumerated().map { (word: $1, id: $0) }
    var merges: [String] = []
    let base = isByteLevel ? 97 : 257
    for _ in 0..<choices.number(below: 24) {
      let left = words[
        choices.isOne(of: 3) ? choices.number(below: words.count) : base + choices.number(below: 3)]
      let right = words[words.count - 1 - choices.number(below: 20)]
      if !choices.isOne(of: 16) {
        let id =
          choices.isOne(of: 16) ? choices.pick([-1, 5, 2_147_483_647, 100_000]) : words.count
        vocabulary.append((left + right, id))
      }
      words.append(left + right)
      merges.append(
        choices.isOne(of: 2) ? (left + " " + right).json : "[\(left.json),\(right.json)]")
    }
    let added = choices.list(upTo: 5) { choices in
      let id = choices.isOne(of: 12) ? choices.pick([-1, 3, 1 << 24, 2_147_483_647]) : words.count
      return #"{"id":\#(id + choices.number(below: 5)),"content":\#(choices.text().json),"#
        + ["special", "normalized", "lstrip", "rstrip", "single_word"].map {
          #""\#($0)":\#(choices.isOne(of: 2))"#
        }.joined(separator: ",") + "}"
    }
    let vocabularyText = vocabulary.map { "\($0.word.json):\($0.id)" }.joined(separator: ",")
    let model =
      #"{"type":"BPE","ignore_merges":\#(choices.isOne(of: 4)),"byte_fallback":\#(!isByteLevel),"#
      + #""fuse_unk":\#(choices.isOne(of: 2)),"unk_token":\#(choices.pick(["null", "\"<unk>\"", "\"a\""])),"#
      + #""vocab":{\#(vocabularyText)},"merges":[\#(merges.joined(separator: ","))]}"#
    let components = [
      #""added_tokens":[\#(added.joined(separator: ","))]"#,
      #""normalizer":\#(normalizer(&choices, 0))"#,
      #""pre_tokenizer":\#(preTokenizer(&choices, isByteLevel))"#,
      #""post_processor":\#(choices.pick(["null", template(words.count)]))"#,
      #""decoder":\#(decoder(&choices, isByteLevel))"#, #""model":\#(model)"#,
    ]
    return "{\(components.joined(separator: ","))}"
  }

  private static func normalizer(_ choices: inout ByteChoices, _ depth: Int) -> String {
    switch choices.number(below: depth > 2 ? 6 : 8) {
    case 0, 1: return "null"
    case 2: return #"{"type":\#(choices.pick(["NFC", "NFD", "NFKC", "NFKD", "Lowercase"]).json)}"#
    case 3: return #"{"type":"Prepend","prepend":\#(choices.pick(["▁", "", "ab"]).json)}"#
    case 4:
      let pattern = choices.pick([#"{"String":" "}"#, #"{"Regex":"\\s+"}"#, #"{"Regex":"a*"}"#])
      return #"{"type":"Replace","pattern":\#(pattern),"content":\#(choices.text().json)}"#
    case 5: return #"{"type":"Strip","strip_left":true,"strip_right":\#(choices.isOne(of: 2))}"#
    default:
      let parts = choices.list(upTo: 3) { $0 }.map { _ in normalizer(&choices, depth + 1) }
      return
        #"{"type":"Sequence","normalizers":[\#(parts.filter { $0 != "null" }.joined(separator: ","))]}"#
    }
  }

  private static func preTokenizer(_ choices: inout ByteChoices, _ isByteLevel: Bool) -> String {
    let byteLevel =
      #"{"type":"ByteLevel","add_prefix_space":\#(choices.isOne(of: 4)),"use_regex":true}"#
    guard isByteLevel else {
      let scheme = choices.pick(["always", "never", "first"])
      return choices.pick([
        "null",
        #"{"type":"Metaspace","replacement":"▁","prepend_scheme":"\#(scheme)","split":\#(choices.isOne(of: 2))}"#,
      ])
    }
    let behavior = choices.pick([
      "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous",
    ])
    let pattern = choices.pick([
      Self.pattern, Self.pattern.replacing("{1,3}", with: ""), ".", "a|ab", "(a+)+b", "\\p{Han}",
      "[^a-c]*", "",
    ])
    let split =
      #"{"type":"Split","pattern":{"Regex":\#(pattern.json)},"behavior":"\#(behavior)","invert":\#(choices.isOne(of: 4))}"#
    let plain = #"{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}"#
    return choices.pick([
      byteLevel, #"{"type":"Sequence","pretokenizers":[\#(split),\#(plain)]}"#,
      #"{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},\#(byteLevel)]}"#,
    ])
  }

  private static func template(_ words: Int) -> String {
    #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a","type_id":0}},"#
      + #"{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"a":{"id":"a","ids":[\#(words - 1)],"#
      + #""tokens":["a"]}}}"#
  }

  private static func decoder(_ choices: inout ByteChoices, _ isByteLevel: Bool) -> String {
    if isByteLevel { return #"{"type":"ByteLevel"}"# }
    return choices.pick([
      #"{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},"#
        + #"{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"#,
      #"{"type":"Sequence","decoders":[{"type":"Metaspace","replacement":"▁"},{"type":"ByteFallback"},{"type":"Fuse"}]}"#,
      "null",
    ])
  }
}
