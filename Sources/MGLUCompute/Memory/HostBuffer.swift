#if canImport(Glibc)
  import Glibc
#endif

/// Owned, zeroed, 64-byte-aligned memory of this machine, freed when the owner goes.
struct HostBuffer: ~Copyable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// The least alignment of `base`: one cache line, and the widest vector.
  static let alignment = 64
  private static let hugePage = 2 << 20

  /// Allocates `byteCount` zeroed bytes, on huge pages where the system has them: a pass over
  /// weights then needs few translations.
  init(byteCount: Int) {
    let isLarge = byteCount >= Self.hugePage
    base = UnsafeMutableRawPointer.allocate(
      byteCount: max(byteCount, 1), alignment: isLarge ? Self.hugePage : Self.alignment)
    #if canImport(Glibc)
      if isLarge { madvise(base, byteCount, MADV_HUGEPAGE) }
    #endif
    base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    self.byteCount = byteCount
  }

  deinit { base.deallocate() }
}
