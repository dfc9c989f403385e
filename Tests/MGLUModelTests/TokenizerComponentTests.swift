import Foundation
import MGLUModel
import MGLUTestSupport
import Testing

/// Patterns, pre-tokenizers, normalizers and decoders against the `tokenizers` package
/// (Tests/Reference/tokenizer_vectors.py).
@Suite struct TokenizerComponentTests {
  static func object(_ name: String) throws -> [String: Any] {
    let file = try MappedFile(path: RepositoryFolder.vectors + "/" + name)
    let value = try JSONSerialization.jsonObject(with: Data(file.contents))
    return try #require(value as? [String: Any])
  }

  static func tokenizer(_ document: [String: Any]) throws -> Tokenizer {
    try Tokenizer(json: Array(JSONSerialization.data(withJSONObject: document)))
  }

  @Test func idsAreThoseOfTheTokenizersPackage() throws {
    let vectors = try Self.object("tokenizer_components.json")
    var document = try Self.object("tokenizer.json")
    let texts = try #require(vectors["texts"] as? [String])
    let cases = try #require(vectors["cases"] as? [[String: Any]])
    #expect(cases.count > 70)
    for one in cases {
      document["pre_tokenizer"] = one["pre_tokenizer"]
      document["normalizer"] = one["normalizer"]
      let tokenizer = try Self.tokenizer(document)
      for (text, ids) in zip(texts, try #require(one["ids"] as? [[Int]])) {
        #expect(
          tokenizer.encode(text).map(Int.init) == ids,
          "\(text.debugDescription) by \(document["pre_tokenizer"] ?? "") \(document["normalizer"] ?? "")"
        )
      }
    }
  }

  static let families = ["llama2", "gemma", "mistral", "metaspace", "no_bytes", "added"]

  /// A vocabulary of characters: ids, and the text that comes back.
  @Test(arguments: families) func charactersWithByteFallback(family: String) throws {
    let vectors = try Self.object("tokenizer_characters.json")
    let described = try #require((vectors["families"] as? [String: [String: Any]])?[family])
    var model = try #require(vectors["model"] as? [String: Any])
    var vocabulary = try #require(model["vocab"] as? [String: Int])
    if let step = described["lacking"] as? Int {
      for byte in stride(from: 0x80, to: 0x100, by: step) {
        vocabulary["<0x\(String(byte, radix: 16).uppercased())>"] = nil
      }
    }
    model.merge(try #require(described["model"] as? [String: Any])) { $1 }
    model["vocab"] = vocabulary
    var document = try #require(described["document"] as? [String: Any])
    document["model"] = model
    let tokenizer = try Self.tokenizer(document)
    let texts = try #require(vectors["texts"] as? [String])
    let ids = try #require(described["ids"] as? [[Int]])
    let decoded = try #require(described["texts"] as? [String])
    for ((text, ids), expected) in zip(zip(texts, ids), decoded) {
      #expect(tokenizer.encode(text).map(Int.init) == ids, "\(text.debugDescription)")
      let result = tokenizer.decode(ids.map(Int32.init))
      #expect(Array(result.utf8) == Array(expected.utf8), "\(text.debugDescription)")
      var stream = StreamingDetokenizer(tokenizer, startsText: true)
      var streamed = ""
      for id in ids where !tokenizer.isSpecial(Int32(id)) { streamed += stream.append(Int32(id)) }
      streamed += stream.finish()
      let whole = tokenizer.decode(ids.map(Int32.init), skippingSpecialTokens: true)
      #expect(Array(streamed.utf8) == Array(whole.utf8), "\(text.debugDescription)")
    }
  }

  /// A stream after a prompt keeps the space before its first word.
  @Test func streamsThatGoOnKeepTheirSpace() throws {
    let vectors = try Self.object("tokenizer_characters.json")
    let described = try #require((vectors["families"] as? [String: [String: Any]])?["llama2"])
    var document = try #require(described["document"] as? [String: Any])
    document["model"] = vectors["model"]
    let tokenizer = try Self.tokenizer(document)
    let ids = tokenizer.encode("the fox 日")
    for (startsText, expected) in [(true, "the fox 日"), (false, " the fox 日")] {
      var stream = StreamingDetokenizer(tokenizer, startsText: startsText)
      var result = ""
      for id in ids {
        let piece = stream.append(id)
        #expect(!piece.unicodeScalars.contains("\u{fffd}"))
        result += piece
      }
      #expect(result + stream.finish() == expected)
    }
  }

  /// Bytes without a token are dropped, or are the unknown token.
  @Test func vocabulariesMayLackBytes() throws {
    var document = try Self.object("tokenizer.json")
    var model = try #require(document["model"] as? [String: Any])
    var vocabulary = try #require(model["vocab"] as? [String: Int])
    model["merges"] = [String]()
    vocabulary["\u{0143}"] = nil
    vocabulary["x"] = nil
    model["vocab"] = vocabulary
    document["model"] = model
    var tokenizer = try Self.tokenizer(document)
    #expect(tokenizer.decode(tokenizer.encode("axb\u{ad}")) == "ab\u{fffd}")
    model["unk_token"] = "<|endoftext|>"
    document["model"] = model
    tokenizer = try Self.tokenizer(document)
    let unknown = Int32(try #require(vocabulary["<|endoftext|>"]))
    #expect(tokenizer.encode("xx").map { $0 } == [unknown, unknown])
    model["fuse_unk"] = true
    document["model"] = model
    #expect(try Self.tokenizer(document).encode("xxa").count == 2)
  }

  /// An added token may be one that merges make too.
  @Test func addedTokensMayBeMergedTokens() throws {
    var document = try Self.object("tokenizer.json")
    let model = try #require(document["model"] as? [String: Any])
    let vocabulary = try #require(model["vocab"] as? [String: Int])
    let id = try #require(vocabulary["the"])
    var added = try #require(document["added_tokens"] as? [[String: Any]])
    added.append(["id": id, "content": "the", "special": false, "normalized": false])
    document["added_tokens"] = added
    let tokenizer = try Self.tokenizer(document)
    #expect(tokenizer.encode("xthe").last == Int32(id))
    #expect(tokenizer.encode("the", parsingAddedTokens: false) == [Int32(id)])
    #expect(tokenizer.decode([Int32(id)]) == "the")
  }

  /// Whatever does not exist here is refused by its name.
  @Test(arguments: [
    (
      #"{"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated","invert":false}"#, #"\1"#
    ),
    (
      #"{"type":"Split","pattern":{"Regex":"\\p{Foo}"},"behavior":"Isolated","invert":false}"#,
      "Foo"
    ),
    (#"{"type":"Split","pattern":{"Regex":"(?s)a"},"behavior":"Isolated","invert":false}"#, "(?s"),
    (
      #"{"type":"Split","pattern":{"Regex":"(?<=a+)b"},"behavior":"Isolated","invert":false}"#,
      "(?<="
    ),
    (#"{"type":"Split","pattern":{"Regex":"[a"},"behavior":"Isolated","invert":false}"#, "["),
    (#"{"type":"Split","pattern":{"Regex":"\\X"},"behavior":"Isolated","invert":false}"#, #"\X"#),
    (#"{"type":"Split","pattern":{"Regex":"a"},"behavior":"Sideways","invert":false}"#, "Sideways"),
    (#"{"type":"UnicodeScripts"}"#, "UnicodeScripts"),
  ])
  func otherComponentsAreRefusedByName(component: String, name: String) throws {
    var document = try Self.object("tokenizer.json")
    document["pre_tokenizer"] = try JSONSerialization.jsonObject(with: Data(component.utf8))
    do {
      _ = try Self.tokenizer(document)
      Issue.record("read: \(component)")
    } catch let error as TokenizerError {
      #expect(error.code == .unsupported && error.message.contains(name), "\(error)")
    }
  }

  /// Patterns that backtrack without end stop at the bound on their steps, and no text is lost.
  @Test func noPatternHangs() throws {
    var document = try Self.object("tokenizer.json")
    document["pre_tokenizer"] = [
      "type": "Sequence",
      "pretokenizers": [
        [
          "type": "Split", "pattern": ["Regex": "(a|a|aa)*b"], "behavior": "Isolated",
          "invert": false,
        ], ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
      ],
    ]
    let tokenizer = try Self.tokenizer(document)
    let text = String(repeating: "a", count: 300) + "c"
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
  }
}
