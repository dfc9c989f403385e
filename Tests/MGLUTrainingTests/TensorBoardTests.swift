import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct TensorBoardTests {
  private func word(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private func masked(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    let crc = CRC32C.checksum(Array(bytes))
    return UInt64((crc >> 15 | crc << 17) &+ 0xa282_ead8)
  }

  /// The records of an event file, their checksums compared.
  private func records(_ bytes: [UInt8]) throws -> [ArraySlice<UInt8>] {
    var records: [ArraySlice<UInt8>] = []
    var start = 0
    while start < bytes.count {
      let count = Int(word(bytes[start..<start + 8]))
      #expect(word(bytes[start + 8..<start + 12]) == masked(bytes[start..<start + 8]))
      let data = bytes[start + 12..<start + 12 + count]
      #expect(word(bytes[data.endIndex..<data.endIndex + 4]) == masked(data))
      records.append(data)
      start = data.endIndex + 4
    }
    return records
  }

  /// A record for the version and one for each line of the metrics, after a resume too.
  @Test func eventFilesHaveTheLinesOfTheMetrics() throws {
    try withTemporaryFolder { folder in
      for stop in [5, .max] {
        let plain = try TrainerTests.trainer(in: nil)
        let ids = TokenSequence(Tokenizer.bytes.encode(TrainerTests.proverbs))
        let trainer = try Trainer(
          plain.model, tokenizer: .bytes, corpus: Corpus(training: ids, validation: ids),
          configuration: TrainerTests.configuration(), output: folder, tensorBoard: true)
        try trainer.prepareOutput(resume: true) { _ in }
        _ = try trainer.run(isCancelled: { trainer.step >= stop })
      }
      let file = try MappedFile(path: folder + "/" + TensorBoardLog.fileName).contents
      let records = try self.records(file)
      #expect(records.count == 1 + (try MetricsLog.lines(in: folder).count))
      func holds(_ record: ArraySlice<UInt8>, _ text: String) -> Bool {
        String(decoding: record, as: UTF8.self).contains(text)
      }
      #expect(holds(records[0], "brain.Event:2"))
      #expect(records.count { holds($0, "loss/training") } == 12)
      #expect(records.count { holds($0, "mask_ones/layer_1") } == 1)
    }
  }
}
