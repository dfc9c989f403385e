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
  package static let byteCount = [ControlGroup().memoryByteCount, addressSpace]
    .compactMap(\.self).min()

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
}
