import MGLUModel
import MGLUTestSupport
import Testing

@Suite struct GGUFFileTests {
  /// What is wrong with a file, and what the error must name.
  static let damaged: [(file: GGUFBytes, code: CheckpointProblem, words: String)] = [
    (GGUFBytes(version: 1), .malformed, "version 1"),
    (GGUFBytes(version: 4), .malformed, "version 4"),
    (GGUFBytes(version: 3 << 24), .malformed, "big-endian"),
    (GGUFBytes(tensors: 1), .truncated, "tensor"),
    (GGUFBytes(tensors: .max, keys: 0), .truncated, "tensor"),
    (GGUFBytes(keys: .max), .truncated, "key"),
    (GGUFBytes(keys: 1).key("a", type: 13), .malformed, "type 13"),
    (GGUFBytes(keys: 1).key("", "x"), .malformed, "0 bytes"),
    (GGUFBytes(keys: 2).key("a", "x").key("a", "y"), .malformed, "twice"),
    (GGUFBytes(keys: 1).key("a", type: 7).adding([2]), .malformed, "expected 0 or 1"),
    (GGUFBytes(keys: 1).key("a", type: 8).adding([255, 255, 255, 255]), .truncated, "a takes"),
    (
      GGUFBytes(keys: 1).key("a", type: 8).adding([1, 0, 0, 0, 0, 0, 0, 0, 0xff]), .malformed,
      "UTF-8"
    ),
    (
      GGUFBytes(keys: 1).key("a", type: 8).adding([UInt8](repeating: 255, count: 8)), .truncated,
      "18446744073709551615 bytes"
    ),
    (GGUFBytes(keys: 1).array("a", type: 9, count: 1), .malformed, "array of arrays"),
    (GGUFBytes(keys: 1).array("a", type: 10, count: .max), .truncated, "a takes"),
    (GGUFBytes(keys: 1).array("a", type: 8, count: .max), .truncated, "a takes"),
    (GGUFBytes(keys: 1).key("general.alignment", 24), .malformed, "power of 2"),
    (GGUFBytes(keys: 1).key("general.alignment", 0), .malformed, "power of 2"),
    (GGUFBytes(keys: 1).key("general.alignment", "x"), .malformed, "power of 2"),
    (GGUFBytes(tensors: 1).tensor("t", []), .malformed, "0 dimensions"),
    (GGUFBytes(tensors: 1).tensor("t", [1, 1, 1, 1, 1]), .malformed, "5 dimensions"),
    (GGUFBytes(tensors: 1).tensor("t", [0]), .malformed, "sizes"),
    (GGUFBytes(tensors: 1).tensor("t", [1 << 40, 1 << 40]), .malformed, "sizes"),
    (GGUFBytes(tensors: 1).tensor("t", [.max]), .malformed, "sizes"),
    (GGUFBytes(tensors: 1).tensor("t", [256], type: 10), .unsupportedType, "Q2_K"),
    (GGUFBytes(tensors: 1).tensor("t", [256], type: 99), .unsupportedType, "number 99"),
    (GGUFBytes(tensors: 1).tensor("t", [48], type: 8).data(64), .malformed, "multiple of 32"),
    (GGUFBytes(tensors: 1).tensor("t", [2], offset: 4).data(64), .badOffsets, "multiple of 32"),
    (GGUFBytes(tensors: 1).tensor("t", [9]).data(32), .truncated, "36 bytes"),
    (GGUFBytes(tensors: 1).tensor("t", [9]), .truncated, "0 of data"),
    (GGUFBytes(tensors: 1).tensor("t", [2], offset: 64).data(32), .truncated, "byte 64"),
    (GGUFBytes(tensors: 1).tensor("t", [2], offset: 1 << 63).data(32), .truncated, "data"),
    (GGUFBytes(tensors: 2).tensor("t", [2]).tensor("t", [2]).data(32), .malformed, "twice"),
    (GGUFBytes(tensors: 2).tensor("t", [9]).tensor("u", [9]).data(64), .badOffsets, "overlap"),
    (
      GGUFBytes(tensors: 2).tensor("t", [9]).tensor("u", [9], offset: 32).data(96), .badOffsets,
      "overlap"
    ),
  ]

  @Test func damagedFilesAreRefused() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.gguf"
      for (file, code, words) in Self.damaged {
        try AtomicFile.write(file.bytes, to: path)
        let error = #expect(throws: CheckpointError.self) { try GGUFFile(path: path) }
        #expect(error?.code == code && error?.message.contains(words) == true, "\(words): \(error)")
        #expect(error?.description.contains("\n") == false)
        // The command says the same.
        #expect(throws: CheckpointError.self) { try ModelFolder.configuration(in: path) }
      }
      for bytes in [[], Array("GGU".utf8), Array("GGML".utf8) + [3, 0, 0, 0]] {
        try AtomicFile.write(bytes, to: path)
        let error = #expect(throws: CheckpointError.self) { try GGUFFile(path: path) }
        #expect(error?.message.contains("not a GGUF file") == true)
      }
    }
  }

  @Test func valuesHaveTheirTypes() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.gguf"
      var file = GGUFBytes(tensors: 1, keys: 7).key("string", "ü").key("count", 7)
      file = file.key("bool", type: 7).adding([1]).key("negative", type: 5)
      file.number(Int32(-3))
      file = file.key("float", type: 6)
      file.number(Float(1e-5).bitPattern)
      file = file.key("nan", type: 6)
      file.number(Float.nan.bitPattern)
      file = file.array("list", type: 8, count: 2)
      file.string("a")
      file.string("b")
      try AtomicFile.write(file.tensor("t", [3, 2], offset: 32).data(64).bytes, to: path)
      let opened = try GGUFFile(path: path)
      #expect(try opened.string("string") == "ü" && opened.integer("count") == 7)
      #expect(try opened.bool("bool") == true && opened.integer("negative") == -3)
      #expect(try opened.number("float") == 1e-5 && opened.number("count") == 7)
      #expect(try opened.strings("list") == ["a", "b"] && opened.integer("none") == nil)
      #expect(opened.entries.map(\.name) == ["t"] && opened.entries[0].shape == [2, 3])
      for key in ["string", "bool", "float", "list"] {
        let error = #expect(throws: CheckpointError.self) { try opened.integer(key) }
        #expect(error?.message.contains("\(key) is") == true)
      }
      #expect(throws: CheckpointError.self) { try opened.number("nan") }
      #expect(throws: CheckpointError.self) { try opened.string("count") }
      #expect(throws: CheckpointError.self) { try opened.strings("count") }
      #expect(throws: CheckpointError.self) { try opened.numbers("list") }
      #expect(throws: CheckpointError.self) { try opened.bool("count") }
    }
  }

  /// Every cut and many changed bytes of real files: read, or refused in one line.
  @Test(arguments: ["gguf_llama", "gguf_spm"])
  func mutatedFilesDoNotTrap(name: String) throws {
    let original = try MappedFile(path: "\(RepositoryFolder.vectors)/\(name).gguf").contents
    try withTemporaryFolder { folder in
      let path = folder + "/m.gguf"
      var random = Philox(seed: 5, purpose: .initialization, step: 0)
      func next(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
      for round in 0..<300 {
        var bytes = original
        if round % 4 == 0 { bytes.removeLast(next(bytes.count)) }
        for _ in 0...next(3) where !bytes.isEmpty {
          // Most of what can be wrong lies at the begin.
          let place = next(next(2) == 0 ? min(bytes.count, 1200) : bytes.count)
          bytes[place] = next(2) == 0 ? UInt8(next(256)) : bytes[place] ^ UInt8(1 << next(8))
        }
        try AtomicFile.write(bytes, to: path)
        do {
          _ = try Tokenizer(contentsOf: path)
        } catch { #expect(!"\(error)".contains("\n")) }
        do {
          _ = try ModelFolder.loadForInference(path, on: CPUBackend(threads: 1))
        } catch { #expect(!"\(error)".contains("\n")) }
      }
    }
  }
}
