import MGLUCompute
import MGLUTestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite struct KernelCacheTests {
  static let source = KernelSource(name: "k", text: "text")
  static let key = key()

  static func key(
    _ text: String = "text", _ capability: CUDACapability = CUDACapability(9, 0),
    _ options: [String] = ["-DA", "-DB"], _ minor: Int = 0
  ) -> KernelCache.Key {
    KernelCache.Key(
      KernelSource(name: "k", text: text), architecture: CUDAArchitecture(capability),
      options: options, compiler: (13, minor))
  }

  @Test func keysTellApartWhatAnImageDependsOn() {
    let keys = [
      Self.key, Self.key("texT"), Self.key("text", CUDACapability(8, 0)),
      Self.key("text", CUDACapability(9, 0), ["-DA-DB"]),
      Self.key("text", CUDACapability(9, 0), ["-DB", "-DA"]),
      Self.key("text", CUDACapability(9, 0), ["-DA", "-DB"], 1),
    ]
    #expect(Set(keys.map(\.name)).count == keys.count)
    #expect(Self.key == Self.key())
  }

  @Test func imagesComeBack() throws {
    try withTemporaryFolder { folder in
      let cache = KernelCache(folder: folder + "/a/b")
      #expect(cache.image(Self.key) == nil)
      let image = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
      cache.store(image, Self.key)
      #expect(cache.image(Self.key) == image)
      #expect(cache.image(Self.key("other")) == nil)
      let names = try Folder.names(in: folder + "/a/b")
      #expect(names == [Self.key.name])
    }
  }

  /// Cut short anywhere, one bit changed anywhere, longer, empty, a folder: never an image.
  @Test func damagedEntriesCountAsMissing() throws {
    try withTemporaryFolder { folder in
      let cache = KernelCache(folder: folder)
      let image = (0..<40).map { UInt8($0) }
      cache.store(image, Self.key)
      let path = folder + "/" + Self.key.name
      let entry = try MappedFile(path: path).contents
      for count in 0..<entry.count {
        try AtomicFile.write(Array(entry.prefix(count)), to: path)
        #expect(cache.image(Self.key) == nil, "\(count) bytes")
      }
      for index in entry.indices {
        var damaged = entry
        damaged[index] ^= 1 << UInt8(index % 8)
        try AtomicFile.write(damaged, to: path)
        #expect(cache.image(Self.key) == nil, "byte \(index)")
      }
      try AtomicFile.write(entry + [0], to: path)
      #expect(cache.image(Self.key) == nil)
      cache.store(image, Self.key)
      #expect(cache.image(Self.key) == image)
      try Folder.remove(path)
      try Folder.create(path)
      #expect(cache.image(Self.key) == nil)
    }
  }

  /// What others may have written is not run: a folder or an entry that they can write to, and a link.
  @Test func onlyTheUsersOwnCounts() throws {
    try withTemporaryFolder { folder in
      let cache = KernelCache(folder: folder + "/cache")
      cache.store([1, 2, 3], Self.key)
      let entry = folder + "/cache/" + Self.key.name
      #expect(cache.problem == nil && cache.image(Self.key) == [1, 2, 3])
      for (path, mode) in [(entry, 0o664), (entry, 0o646), (folder + "/cache", 0o777)] {
        let before: mode_t = path == entry ? 0o644 : 0o755
        #expect(chmod(path, mode_t(mode)) == 0)
        #expect(cache.image(Self.key) == nil)
        #expect((cache.problem?.code == .untrusted) == (path != entry))
        #expect(chmod(path, before) == 0)
      }
      #expect(chmod(folder + "/cache", 0o777) == 0)
      cache.store([4], Self.key)
      #expect(chmod(folder + "/cache", 0o755) == 0)
      #expect(cache.image(Self.key) == [1, 2, 3])
      #expect(rename(entry, folder + "/elsewhere") == 0)
      #expect(symlink(folder + "/elsewhere", entry) == 0)
      #expect(cache.image(Self.key) == nil)
    }
  }

  /// A file where the folder should be can be written by nobody, whoever runs the tests.
  @Test func foldersThatCannotBeWrittenAreNoError() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write([1], to: folder + "/file")
      let cache = KernelCache(folder: folder + "/file")
      cache.store([1, 2, 3], Self.key)
      #expect(cache.image(Self.key) == nil)
    }
    KernelCache(folder: nil).store([1], Self.key)
    #expect(KernelCache(folder: nil).image(Self.key) == nil)
  }

  /// Many threads of one process store and read the same entry: it is whole or missing.
  @Test func concurrentStoresLeaveOneWholeEntry() async throws {
    let folder = "/tmp/mglu-test-cache-\(UInt64.random(in: 0 ... .max))"
    defer { try? Folder.remove(folder) }
    let cache = KernelCache(folder: folder)
    let image = [UInt8](repeating: 7, count: 100_000)
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<16 {
        group.addTask {
          cache.store(image, Self.key)
          return cache.image(Self.key) == image
        }
      }
      for await isWhole in group { #expect(isWhole) }
    }
    #expect(try Folder.names(in: folder) == [Self.key.name])
  }

  @Test func standardFolderFollowsTheEnvironment() {
    func folder(_ variables: [String: String]) -> String? {
      KernelCache.standard { variables[$0] }.folder
    }
    #expect(folder(["HOME": "/h"]) == "/h/.cache/swift-mglu")
    #expect(folder(["HOME": "/h", "XDG_CACHE_HOME": "/x"]) == "/x/swift-mglu")
    #expect(folder(["HOME": "/h", "XDG_CACHE_HOME": "x"]) == "/h/.cache/swift-mglu")
    #expect(folder(["HOME": "/h", "XDG_CACHE_HOME": "/x", "MGLU_CACHE_DIR": "/m"]) == "/m")
    #expect(folder([:]) == nil)
  }
}
