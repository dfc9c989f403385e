import Foundation
import MGLUCompute
import Testing

@Suite struct AtomicFileTests {
  /// Calls `body` with the path of a file that holds "old", then checks that nothing else is there.
  static func withFile(_ body: (String) throws -> Void) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appendingPathComponent("file")
    try Data("old".utf8).write(to: file)
    try body(file.path)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["file"])
    return String(decoding: try Data(contentsOf: file), as: UTF8.self)
  }

  @Test func whatIsNotCommittedLeavesTheOldContent() throws {
    let content = try Self.withFile { path in
      var file = try AtomicFile(path: path)
      try file.write(Array("new".utf8))
    }
    #expect(content == "old")
  }

  @Test func whatIsCommittedReplacesIt() throws {
    let content = try Self.withFile { path in
      // The check value of CRC-32C.
      let checksum = try AtomicFile.write(Array("123456789".utf8), to: path)
      #expect(checksum == 0xE306_9283)
    }
    #expect(content == "123456789")
  }

  @Test func aFolderThatIsMissingIsNamed() {
    #expect {
      try AtomicFile.write([1], to: "/none/there/file")
    } throws: { error in
      (error as? FileError)?.message.contains("/none/there/file") == true
    }
  }
}
