import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct DataTests {
  static func shard(_ words: [UInt32], data: [UInt8]) -> [UInt8] {
    (words + [UInt32](repeating: 0, count: 256 - words.count)).flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) }
    } + data
  }

  func tokens(_ bytes: [UInt8], name: String = "x.bin") throws -> TokenSequence {
    var result: TokenSequence?
    try withTemporaryFolder { folder in
      try AtomicFile.write(bytes, to: folder + "/" + name)
      result = try Corpus.tokens(at: folder + "/" + name, tokenizer: .bytes)
    }
    return try #require(result)
  }

  @Test func shardsOfAllKindsAreRead() throws {
    let narrow = try tokens(DataTests.shard([20_240_520, 1, 3], data: [1, 0, 2, 0, 0, 1]))
    #expect(try narrow.ids(0..<3, vocabularySize: 257) == [1, 2, 256])
    let wide = try tokens(DataTests.shard([20_240_801, 7, 2], data: [1, 0, 1, 0, 5, 0, 0, 0]))
    #expect(try wide.ids(0..<2, vocabularySize: 70_000) == [65_537, 5])
    let bare = try tokens([7, 0, 0, 1])
    #expect(try bare.ids(0..<2, vocabularySize: 257) == [7, 256])
    let error = #expect(throws: DataError.self) { try wide.ids(0..<2, vocabularySize: 257) }
    #expect(error?.code == .tokenID && error?.remedy?.contains("tokenizer") == true)
    #expect(error?.message.contains(".bin: token 0 has the id 65537") == true, "\(error)")
    let negative = try tokens(DataTests.shard([20_240_801, 7, 1], data: [255, 255, 255, 255]))
    #expect(throws: DataError.self) { try negative.ids(0..<1, vocabularySize: .max) }
  }

  @Test(arguments: [
    (DataTests.shard([20_240_520, 1, 4], data: [1, 0, 2, 0, 3, 0]), DataProblem.wrongSize),
    (DataTests.shard([20_240_520, 1, 2], data: [1, 0, 2, 0, 3, 0]), .wrongSize),
    (DataTests.shard([20_240_520, 1, .max], data: [1, 0]), .wrongSize),
    (DataTests.shard([20_240_520, 2, 1], data: [1, 0]), .malformed),
    (DataTests.shard([20_240_801, 1, 1], data: [1, 0, 0, 0]), .malformed),
    (DataTests.shard([20_250_101, 1, 1], data: [1, 0]), .malformed),
    (Array(DataTests.shard([20_240_520, 1, 1], data: []).prefix(100)), .wrongSize),
    ([1, 2, 3], .wrongSize), ([], .empty),
    (DataTests.shard([20_240_520, 1, 0], data: []), .empty),
  ])
  func damagedShardsAreRefused(bytes: [UInt8], problem: DataProblem) {
    let error = #expect(throws: DataError.self) { try tokens(bytes) }
    #expect(error?.code == problem)
  }

  @Test(arguments: [257, 65_536, 65_537]) func writtenShardsAreReadBack(vocabulary: Int) throws {
    try withTemporaryFolder { folder in
      let ids = (0..<1000).map { Int32($0 * 7919 % vocabulary) }
      try TokenShard.write(ids, vocabularySize: vocabulary, to: folder + "/a.bin")
      let read = try Corpus.tokens(at: folder + "/a.bin", tokenizer: .bytes)
      #expect(try read.ids(0..<1000, vocabularySize: vocabulary) == ids)
      #expect(
        try MappedFile(path: folder + "/a.bin").byteCount == 1024 + 1000
          * (vocabulary > 65_536 ? 4 : 2))
    }
  }

  @Test func foldersOfShardsKeepTheirValidation() throws {
    try withTemporaryFolder { folder in
      for (name, ids) in [("t_train_0", [1, 2]), ("t_train_1", [3, 4, 5]), ("t_val_0", [9])] {
        try TokenShard.write(
          ids.map(Int32.init), vocabularySize: 257, to: "\(folder)/\(name).bin")
      }
      let corpus = try Corpus(contentsOf: folder, tokenizer: .bytes)
      #expect(try corpus.training.ids(0..<5, vocabularySize: 257) == [1, 2, 3, 4, 5])
      #expect(try corpus.training[1..<4].ids(0..<3, vocabularySize: 257) == [2, 3, 4])
      #expect(try corpus.validation.ids(0..<1, vocabularySize: 257) == [9])
      #expect(try Corpus.mixedFiles(in: folder) == nil)
      // Text beside them is no data, and a program can say so.
      try AtomicFile.write(Array("text".utf8), to: folder + "/a.txt")
      #expect(try Corpus(contentsOf: folder, tokenizer: .bytes).training.count == 5)
      let mixed = try #require(try Corpus.mixedFiles(in: folder))
      #expect(mixed.shards == 3 && mixed.texts == 1)
      // What does not end as text does is not read, and a program can say so, too.
      #expect(try TextSource.filesLeftOut(of: folder) == [])
      try Folder.create(folder + "/more")
      for name in ["b.LOG", "more/noext"] {
        try AtomicFile.write(Array("text".utf8), to: "\(folder)/\(name)")
      }
      #expect(
        try TextSource.filesLeftOut(of: folder) == ["\(folder)/b.LOG", "\(folder)/more/noext"])
    }
  }

  /// What is validated on is not trained on, where it lies among the training data.
  @Test func validationDataIsLeftOutOfTraining() throws {
    try withTemporaryFolder { folder in
      for (name, ids) in [("a", [1, 2]), ("medieval_0", [3]), ("b", [4])] {
        try TokenShard.write(ids.map(Int32.init), vocabularySize: 257, to: "\(folder)/\(name).bin")
      }
      let corpus = try Corpus(
        contentsOf: folder, validation: folder + "/./b.bin", tokenizer: .bytes)
      #expect(try corpus.training.ids(0..<3, vocabularySize: 257) == [1, 2, 3])
      #expect(corpus.training.count == 3 && corpus.validation.count == 1)
      // A word within a word holds nothing back.
      #expect(try Corpus(contentsOf: folder, tokenizer: .bytes).training.count == 4)
      let error = #expect(throws: DataError.self) {
        try Corpus(
          contentsOf: folder + "/b.bin", validation: folder + "/b.bin", tokenizer: .bytes)
      }
      #expect(error?.message.contains("nothing is left to train on") == true)

      try Folder.create(folder + "/text")
      try AtomicFile.write(Array("ab".utf8), to: folder + "/text/1.txt")
      try AtomicFile.write(Array("cd".utf8), to: folder + "/text/2.txt")
      let text = try Corpus(
        contentsOf: folder + "/text", validation: folder + "/text/2.txt", tokenizer: .bytes)
      #expect(try text.training.ids(0..<2, vocabularySize: 257) == [97, 98])
      #expect(text.training.count == 2 && text.validation.count == 2)
    }
  }

  @Test func documentsAreSeparatedByTheEndOfText() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Array("ab".utf8), to: folder + "/1.txt")
      try AtomicFile.write([], to: folder + "/2.txt")
      try AtomicFile.write(
        Array("{\"text\":\"c\"}\n\n{\"text\":\"\"}\r\n{\"text\":\"d\",\"id\":1}".utf8),
        to: folder + "/3.jsonl")
      try AtomicFile.write([0xff, 0xfe], to: folder + "/image.png")
      try AtomicFile.write(Array("no".utf8), to: folder + "/.hidden.txt")
      try Folder.create(folder + "/below")
      try AtomicFile.write(Array("e<|endoftext|>f".utf8), to: folder + "/below/x.md")
      let ids = try Corpus.encode(textAt: folder, tokenizer: .bytes)
      #expect(ids == [97, 98, 256, 99, 256, 100, 256, 101, 256, 102])
    }
  }

  @Test(arguments: [
    (
      "a.jsonl", Array("{\"text\":\"a\"}\n{\"txt\":1}".utf8), DataProblem.malformed,
      "line 2: an object without"
    ),
    ("a.jsonl", Array("nonsense".utf8), .malformed, "line 1: not valid JSON"),
    ("a.jsonl", Array("[1]".utf8), .malformed, "line 1: no object"),
    ("a.jsonl", Array("{\"text\":null}".utf8), .malformed, "its \"text\" is no string"),
    ("a.txt", [0x61, 0xff], .malformed, "UTF-8"), ("a.txt", [], .empty, "no text"),
    ("a.jsonl", Array("\n\n".utf8), .empty, "no text"),
    ("a.json", Array(#"{"train": ["a"]}"#.utf8), .malformed, "a list of texts"),
    ("a.json", Array(#"["a", 1]"#.utf8), .malformed, "a list of texts"),
    ("a.txt", [0x1f, 0x8b, 8, 0], .malformed, "gzip"),
  ])
  func textThatIsNoneIsRefused(
    name: String, bytes: [UInt8], problem: DataProblem, words: String
  ) throws {
    let error = #expect(throws: DataError.self) { try tokens(bytes, name: name) }
    #expect(error?.code == problem && error?.message.contains(words) == true)
  }

  /// Files of texts as data sets come: lists, lines under another name, numbers that are none, and a mark of
  /// byte order.
  @Test(arguments: [
    ("a.json", #"["a", {"text": "b", "id": NaN}]"#),
    ("a.json", "{\"text\":\"a\"}\n{\"text\":\"b\"}"),
    ("a.jsonl", "{\"score\":NaN,\"text\":\"a\"}\n{\"text\":\"b\",\"score\":-Infinity}"),
    ("a.jsonl", "\u{feff}{\"text\":\"a\"}\n{\"text\":\"b\"}"),
  ])
  func textsOfDataSetsAreRead(name: String, content: String) throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(Array(content.utf8), to: folder + "/" + name)
      #expect(try Corpus.encode(textAt: folder + "/" + name, tokenizer: .bytes) == [97, 256, 98])
    }
  }

  @Test func missingAndEmptyPathsAreRefused() throws {
    #expect(throws: DataError.self) { try Corpus(contentsOf: "/no/such", tokenizer: .bytes) }
    try withTemporaryFolder { folder in
      _ = #expect(throws: DataError.self) { try Corpus(contentsOf: folder, tokenizer: .bytes) }
    }
  }

  @Test func theLastTenthIsForValidation() throws {
    try withTemporaryFolder { folder in
      let text = String(repeating: "0123456789", count: 10)
      try AtomicFile.write(Array(text.utf8), to: folder + "/a.txt")
      let corpus = try Corpus(contentsOf: folder + "/a.txt", tokenizer: .bytes)
      #expect(corpus.training.count == 90 && corpus.validation.count == 10)
      #expect(try corpus.validation.ids(0..<2, vocabularySize: 257) == [48, 49])
      #expect(corpus.training.fingerprint != corpus.validation.fingerprint)
    }
  }

  @Test func learningRatesFollowTheirClosedForm() {
    let schedule = LearningRateSchedule(peak: 1, minimum: 0.1, warmupSteps: 10, steps: 110)
    #expect(schedule[0] == 0.1 && abs(schedule[9] - 1) < 1e-15 && schedule[10] == 1)
    #expect(abs(schedule[60] - 0.55) < 1e-12)
    #expect(abs(schedule[110] - 0.1) < 1e-12 && abs(schedule[1000] - 0.1) < 1e-12)
    #expect((10..<110).allSatisfy { schedule[$0 + 1] < schedule[$0] })
    #expect(LearningRateSchedule(peak: 1, minimum: 0, warmupSteps: 0, steps: 1)[0] == 1)
  }
}
