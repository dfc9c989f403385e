#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What the system lets a process have of the machine's memory: a container's limit, or `ulimit -v`.
package enum MemoryLimit {
  /// The least limit in bytes, or `nil` where there is none.
  package static let byteCount = [controlGroup(), addressSpace].compactMap(\.self).min()

  /// The address space (RLIMIT_AS).
  private static var addressSpace: Int? {
    var limit = rlimit()
    #if canImport(Glibc)
      let code = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    #else
      let code = getrlimit(RLIMIT_AS, &limit)
    #endif
    return code == 0 ? Int(exactly: limit.rlim_cur) : nil
  }

  /// The least limit of the process's control group and of those above it, of either version.
  ///
  /// - Parameters:
  ///   - root: Where control groups are mounted.
  ///   - membership: The file that names the process's groups, a line each: `0::/a/b` of version 2,
  ///     `4:memory:/a/b` of version 1.
  package static func controlGroup(
    root: String = "/sys/fs/cgroup", membership: String = "/proc/self/cgroup"
  ) -> Int? {
    var limits: [Int] = []
    for line in (text(of: membership) ?? "").split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let (folder, name) =
        if fields[0] == "0" {
          (root, "memory.max")
        } else if fields[1].split(separator: ",").contains("memory") {
          (root + "/memory", "memory.limit_in_bytes")
        } else {
          ("", "")
        }
      guard !name.isEmpty else { continue }
      // A container sees its own group as the root, under whatever path the file has.
      var path = fields[2].split(separator: "/")
      while true {
        let file = ([folder] + path.map(String.init) + [name]).joined(separator: "/")
        if let number = text(of: file)?.split(whereSeparator: \.isWhitespace).first.flatMap({
          Int($0)
        }) {
          limits.append(number)
        }
        if path.popLast() == nil { break }
      }
    }
    return limits.min()
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
