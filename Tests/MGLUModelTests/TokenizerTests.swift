import Foundation
import MGLUModel
import MGLUTestSupport
import Testing

@Suite struct TokenizerTests {
  struct Vector: Decodable, Sendable {
    let text: String
    let ids: [Int32]
  }

  static func vectors() throws -> [Vector] {
    let file = try MappedFile(path: RepositoryFolder.vectors + "/tokenizer_ids.json")
    return try JSONDecoder().decode([Vector].self, from: Data(file.contents))
  }

  /// The ids of the `tokenizers` package (Tests/Reference/tokenizer_vectors.py).
  @Test func idsAreThoseOfTheTokenizersPackage() throws {
    let tokenizer = try Tokenizer(contentsOf: RepositoryFolder.vectors + "/tokenizer.json")
    let vectors = try Self.vectors()
    #expect(vectors.count > 30 && vectors.contains { $0.ids.contains { $0 > 300 } })
    for vector in vectors {
      #expect(tokenizer.encode(vector.text) == vector.ids, "\(vector.text.debugDescription)")
      #expect(tokenizer.decode(vector.ids).unicodeScalars.elementsEqual(vector.text.unicodeScalars))
    }
  }

  @Test func savedTokenizersAreReadBackEqual() throws {
    var trainer = BPETrainer()
    for vector in try Self.vectors() { trainer.add(vector.text) }
    let trained = try trainer.train(vocabularySize: 330)
    let read = try Tokenizer(contentsOf: RepositoryFolder.vectors + "/tokenizer.json")
    for tokenizer in [trained, read, .bytes] {
      try withTemporaryFolder { folder in
        try tokenizer.save(to: folder)
        let again = try Tokenizer(contentsOf: folder)
        #expect(again.vocabularySize == tokenizer.vocabularySize)
        #expect(again.eosTokenID == tokenizer.eosTokenID)
        for vector in try Self.vectors() {
          #expect(again.encode(vector.text) == tokenizer.encode(vector.text))
          let ids = tokenizer.encode(vector.text, parsingAddedTokens: false)
          #expect(again.decode(ids) == vector.text)
        }
      }
    }
  }

  @Test func trainingMergesTheMostFrequentPairFirst() throws {
    var trainer = BPETrainer()
    trainer.add("ab ab ab abc abc xyz")
    let tokenizer = try trainer.train(vocabularySize: 260)
    // " a", then " ab": five words begin so, but for the first.
    #expect(tokenizer.encode("ab").count == 1 && tokenizer.vocabularySize == 260)
    #expect(throws: TokenizerError.self) { try trainer.train(vocabularySize: 256) }
    #expect(try trainer.train(vocabularySize: 100_000).vocabularySize < 300)
  }

  @Test func streamsGiveOutWholeCharactersOnly() {
    let text = "aé日👍🏽 ok"
    var stream = StreamingDetokenizer(.bytes)
    var result = ""
    for id in Tokenizer.bytes.encode(text) {
      let piece = stream.append(id)
      #expect(!piece.unicodeScalars.contains("\u{fffd}"))
      result += piece
    }
    #expect(result + stream.finish() == text)
    _ = stream.append(0xf0)
    #expect(stream.finish() == "\u{fffd}")
  }

  @Test(arguments: [
    "", "[]", "{", #"{"model":{}}"#, #"{"model":{"type":"WordPiece","vocab":{},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":0},"merges":[],"unk_token":"b"}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":0,"b":0},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":-5},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":-5},"merges":[]},"#
      + #""added_tokens":[{"id":-300,"content":"b"}]}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":2147483647},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":1e99},"merges":[]}}"#,
    #"{"normalizer":{"type":"Nmt"},"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"Metaspace","replacement":"_"},"model":{"vocab":{},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{},"merges":["a b c"]}}"#,
  ])
  func otherFilesAreRefused(text: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Array(text.utf8), to: folder + "/tokenizer.json")
      #expect(throws: TokenizerError.self) { try Tokenizer(contentsOf: folder) }
    }
  }
}
