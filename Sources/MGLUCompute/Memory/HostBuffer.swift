/// Owned, zeroed, 64-byte-aligned memory of this machine, freed when the owner goes.
struct HostBuffer: ~Copyable {
  let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// The alignment of `base`: one cache line, and the widest vector.
  static let alignment = 64

  /// Allocates `byteCount` zeroed bytes.
  init(byteCount: Int) {
    base = UnsafeMutableRawPointer.allocate(
      byteCount: max(byteCount, 1), alignment: Self.alignment)
    base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
    self.byteCount = byteCount
  }

  deinit { base.deallocate() }
}
