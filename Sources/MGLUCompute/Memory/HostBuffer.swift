#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Owned, zeroed, 64-byte-aligned memory of this machine, freed when the owner goes.
struct HostBuffer: ~Copyable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int
  /// What the system mapped for a large buffer.
  private let mapping: UnsafeMutableRawBufferPointer?

  /// The least alignment of `base`: one cache line, and the widest vector.
  static let alignment = 64
  private static let hugePage = 2 << 20

  /// Allocates `byteCount` zeroed bytes, on huge pages where the system has them: a pass over
  /// weights then needs few translations. A large buffer takes memory as it is used.
  init(byteCount: Int) {
    self.byteCount = byteCount
    if byteCount >= Self.hugePage, let mapping = Self.map(byteCount + Self.hugePage) {
      let start = UInt(bitPattern: mapping.baseAddress)
      let gap = (UInt(Self.hugePage) - start % UInt(Self.hugePage)) % UInt(Self.hugePage)
      base = mapping.baseAddress! + Int(gap)
      self.mapping = mapping
      #if canImport(Glibc)
        madvise(base, byteCount, MADV_HUGEPAGE)
      #endif
    } else {
      base = UnsafeMutableRawPointer.allocate(
        byteCount: max(byteCount, 1), alignment: Self.alignment)
      base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
      mapping = nil
    }
  }

  /// Zeroed memory of the system, or `nil` where it gives none.
  private static func map(_ byteCount: Int) -> UnsafeMutableRawBufferPointer? {
    let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0)
    guard let address, address != MAP_FAILED else { return nil }
    return UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }

  deinit {
    if let mapping { munmap(mapping.baseAddress, mapping.count) } else { base.deallocate() }
  }
}
