import Foundation
import MGLUCompute
import MGLUTestSupport
import Synchronization

/// What ptxas has said of kernels before, by all that a compilation depends on: `Tests/Kernels/usage.txt`,
/// which `make kernels` writes. Equal compilations have equal results, so that what has not changed need not
/// be compiled in every run of the tests, and a change of a kernel's registers shows in a review.
///
/// A line has a key and the kernels, each with registers and bytes of its stack, of stores and loads of
/// spills, and of shared memory.
enum KernelUsageRecord {
  private static let path = RepositoryFolder.root + "/Tests/Kernels/usage.txt"
  /// Where a recording puts its lines, in the order in which they come.
  private static let recording = RepositoryFolder.root + "/.build/kernel-usage.txt"
  private static let lock = Mutex(())

  /// The usages of all kernels of a compilation, by its key.
  static let entries: [String: [KernelUsage]] = {
    guard let file = try? MappedFile(path: path) else { return [:] }
    let lines = String(decoding: file.contents, as: UTF8.self).split(separator: "\n")
    return Dictionary(lines.compactMap { parse(String($0)) }) { $1 }
  }()

  /// Source, generation and the beginning of the hash of what is compiled, of the compiler and of the
  /// machine that it runs on.
  static func key(_ variant: KernelVariant, compiler: NVRTC) -> String {
    #if arch(x86_64)
      let host = "x86-64"
    #else
      let host = "another"
    #endif
    let name = KernelCache.Key(
      variant.source, architecture: variant.architecture,
      options: NVRTC.options + variant.options + [host], compiler: compiler.version
    ).name
    // 64 bits of the hash tell some thousand lines apart.
    return String(name.dropLast(48))
  }

  static func line(_ key: String, _ usages: [KernelUsage]) -> String {
    ([key]
      + usages.map {
        "\($0.kernel):\($0.registers):\($0.stackBytes):\($0.spillStoreBytes):\($0.spillLoadBytes)"
          + ":\($0.sharedBytes)"
      }).joined(separator: " ")
  }

  /// A line's entry; `nil` of one that is damaged, which counts as missing.
  static func parse(_ line: String) -> (key: String, usages: [KernelUsage])? {
    let words = line.split(separator: " ")
    guard let key = words.first, key.contains("-") else { return nil }
    var usages: [KernelUsage] = []
    for word in words.dropFirst() {
      let parts = word.split(separator: ":")
      let numbers = parts.dropFirst().compactMap { Int($0) }
      guard parts.count == 6, numbers.count == 5 else { return nil }
      usages.append(
        KernelUsage(
          kernel: String(parts[0]), registers: numbers[0], stackBytes: numbers[1],
          spillStoreBytes: numbers[2], spillLoadBytes: numbers[3], sharedBytes: numbers[4]))
    }
    return (String(key), usages)
  }

  /// Adds a line to the recording.
  static func append(_ key: String, _ usages: [KernelUsage]) throws {
    try lock.withLock { _ in
      if !FileManager.default.fileExists(atPath: recording) {
        _ = FileManager.default.createFile(atPath: recording, contents: nil)
      }
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: recording))
      defer { try? file.close() }
      try file.seekToEnd()
      try file.write(contentsOf: Data((line(key, usages) + "\n").utf8))
    }
  }
}
