#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The control groups of Linux that a process belongs to, by which a container limits it; of either version.
package struct ControlGroup: Sendable {
  /// A limit of a controller: a file of version 2, or files of version 1.
  private struct Limit {
    let controller: String
    let unified: [String]
    let separate: [String]
  }

  private let root: String
  private let membership: String

  /// Groups of a process.
  ///
  /// - Parameters:
  ///   - root: Where control groups are mounted.
  ///   - membership: The file that names the process's groups, a line each: `0::/a/b` of version 2,
  ///     `4:memory:/a/b` of version 1.
  package init(root: String = "/sys/fs/cgroup", membership: String = "/proc/self/cgroup") {
    self.root = root
    self.membership = membership
  }

  /// The least limit of memory in bytes, or `nil` where there is none.
  package var memoryByteCount: Int? {
    let limit = Limit(
      controller: "memory", unified: ["memory.max"], separate: ["memory.limit_in_bytes"])
    return values(limit).compactMap(\.first).min()
  }

  /// The processors whose time the groups may use, rounded up, or `nil` where there is no limit: a quota
  /// of 150 ms in each period of 100 ms are two.
  package var processorCount: Int? {
    let limit = Limit(
      controller: "cpu", unified: ["cpu.max"], separate: ["cpu.cfs_quota_us", "cpu.cfs_period_us"])
    return values(limit).compactMap { numbers in
      guard numbers.count == 2, numbers[0] > 0, numbers[1] > 0 else { return nil }
      return (numbers[0] - 1) / numbers[1] + 1
    }.min()
  }

  /// The numbers in the files of a limit, of the process's group and of each above it that has one.
  private func values(_ limit: Limit) -> [[Int]] {
    var values: [[Int]] = []
    for line in (Self.text(of: membership) ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let folder: String
      let names: [String]
      if fields[0] == "0" {
        (folder, names) = (root, limit.unified)
      } else if fields[1].split(separator: ",").contains(Substring(limit.controller)) {
        (folder, names) = ("\(root)/\(limit.controller)", limit.separate)
      } else {
        continue
      }
      // A container sees its own group as the root, under whatever path the file has.
      var path = fields[2].split(separator: "/").map(String.init)
      while true {
        let group = ([folder] + path).joined(separator: "/")
        let words = names.flatMap { name in
          (Self.text(of: "\(group)/\(name)") ?? "").split(whereSeparator: \.isWhitespace)
        }
        let numbers = words.compactMap { Int($0) }
        // Where there is no limit, there is a word.
        if !numbers.isEmpty, numbers.count == words.count { values.append(numbers) }
        if path.popLast() == nil { break }
      }
    }
    return values
  }

  /// The beginning of a file of the system's, whose size is not known before.
  private static func text(of path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 14)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
