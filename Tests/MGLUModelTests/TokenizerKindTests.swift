import Foundation
import MGLUModel
import MGLUTestSupport
import Testing

/// The components of Llama 3, Qwen 2 and SmolLM over one small vocabulary.
@Suite struct TokenizerKindTests {
  static let kinds = ["llama3", "qwen2", "smollm"]

  /// The frozen vectors of the kind, and its tokenizer.json written to `folder`.
  static func write(_ kind: String, to folder: String) throws -> [String: Any] {
    func object(_ name: String) throws -> [String: Any] {
      let file = try MappedFile(path: RepositoryFolder.vectors + "/" + name)
      let value = try JSONSerialization.jsonObject(with: Data(file.contents))
      return try #require(value as? [String: Any])
    }
    let described = try #require(object("tokenizer_kinds.json")[kind] as? [String: Any])
    var tokenizer = try object("tokenizer.json")
    for (part, value) in try #require(described["components"] as? [String: Any]) {
      tokenizer[part] = value
    }
    var model = try #require(tokenizer["model"] as? [String: Any])
    model["ignore_merges"] = described["ignore_merges"]
    tokenizer["model"] = model
    let bytes = try JSONSerialization.data(withJSONObject: tokenizer)
    try AtomicFile.write(Array(bytes), to: folder + "/tokenizer.json")
    return described
  }

  /// The ids of the `tokenizers` package, from the file and from the file written again.
  @Test(arguments: kinds) func idsAreThoseOfTheTokenizersPackage(kind: String) throws {
    try withTemporaryFolder { folder in
      let expected = try Self.write(kind, to: folder)
      let texts = try TokenizerTests.vectors().map(\.text)
      let ids = try #require(expected["ids"] as? [[Int]])
      try #require(texts.count == ids.count)
      let tokenizer = try Tokenizer(contentsOf: folder)
      try tokenizer.save(to: folder)
      for tokenizer in [tokenizer, try Tokenizer(contentsOf: folder)] {
        for (text, ids) in zip(texts, ids) {
          #expect(tokenizer.encode(text).map(Int.init) == ids, "\(text.debugDescription)")
        }
        #expect(tokenizer.textStart.map(Int.init) == expected["start"] as? [Int])
      }
    }
  }

  @Test func numbersAndLineBreaksFollowTheKind() throws {
    let texts = ["a12345", "x!\n\n", "e\u{301}"]
    func counts(_ kind: String) throws -> [Int] {
      try withTemporaryFolder { folder in
        _ = try Self.write(kind, to: folder)
        let tokenizer = try Tokenizer(contentsOf: folder)
        return texts.map { tokenizer.encode($0).count }
      }
    }
    let (llama3, qwen2) = (try counts("llama3"), try counts("qwen2"))
    // Composed, e\u{301} is a letter of two bytes in place of three bytes.
    #expect(qwen2[2] < llama3[2])
    #expect(llama3[0] <= qwen2[0])
  }
}
