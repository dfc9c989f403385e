import CMGLUKernels
import Foundation
import MGLUCompute
import MGLUTestSupport
import Testing

@Suite struct AtomicFileTests {
  /// Calls `body` with the path of a file that holds "old", then checks that nothing else is there.
  static func withFile(_ body: (String) throws -> Void) throws -> String {
    try withTemporaryFolder { folder in
      let path = folder + "/file"
      try Data("old".utf8).write(to: URL(fileURLWithPath: path))
      try body(path)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["file"])
      return String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }
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

  /// A process that is killed leaves nothing where the file system has files without names.
  @Test func unfinishedFilesHaveNoNames() throws {
    var names: [String] = []
    _ = try Self.withFile { path in
      var file = try AtomicFile(path: path)
      try file.write(Array("new".utf8))
      names = try Folder.names(in: Folder.parent(of: path))
    }
    let others = names.filter { $0 != "file" }
    let descriptor = cmglu_unnamed_file("/tmp")
    if descriptor >= 0 {
      close(descriptor)
      #expect(others.isEmpty)
    } else {
      #expect(others.count == 1 && others.allSatisfy(AtomicFile.isTemporary))
    }
  }

  /// What a killed process leaves elsewhere is told from what somebody else may have put there.
  @Test func temporaryFilesAreKnownByTheirNames() throws {
    #expect(AtomicFile.isTemporary("model.safetensors.1098267804453265589.tmp"))
    for other in ["notes.tmp", "a.b.tmp", "12.tmp", "x.12.txt", "tmp", "x.-1.tmp"] {
      #expect(!AtomicFile.isTemporary(other), "\(other)")
    }
  }

  @Test func oneAtATimeHasAFolder() throws {
    try withTemporaryFolder { folder in
      do {
        let lock = try FolderLock(folder)
        #expect(throws: FileError.self) { _ = try FolderLock(folder) }
        _ = consume lock
      }
      _ = try FolderLock(folder)
    }
  }

  @Test func aFolderThatIsMissingIsNamed() {
    #expect {
      try AtomicFile.write([1], to: "/none/there/file")
    } throws: { error in
      (error as? FileError)?.message.contains("/none/there/file") == true
    }
  }
}
