import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file's bytes, mapped read-only: opening costs nothing, pages are read when they are touched.
///
/// May be read from any thread. A file that another process truncates meanwhile ends this one with SIGBUS,
/// unless ``survivesTruncation()`` was called.
public final class MappedFile: Sendable {
  /// The size of the file.
  public let byteCount: Int
  /// Where it lies.
  public let path: String
  nonisolated(unsafe) private let base: UnsafeMutableRawPointer?
  nonisolated(unsafe) private let guarded: OpaquePointer?

  /// Maps the regular file at `path`.
  public convenience init(path: String) throws(FileError) {
    try self.init(path: path, isOwn: false)
  }

  /// Maps the regular file at `path`; of a file that must be the user's own, no link leads to it and only
  /// the user, or the system's administrator, can write it.
  package init(path: String, isOwn: Bool) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | (isOwn ? O_NOFOLLOW : 0))
    guard descriptor >= 0 else { throw FileError(.unreadable, path: path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(.unreadable, path: path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(.wrongKind, "\(path): a file was expected")
    }
    guard !isOwn || Folder.isOwn(status) else { throw FileError(othersWriteTo: path) }
    self.path = path
    byteCount = Int(status.st_size)
    guard byteCount > 0 else {
      (base, guarded) = (nil, nil)
      return
    }
    base = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard base != MAP_FAILED else { throw FileError(.unreadable, path: path) }
    guarded = cmglu_mapping_add(base, byteCount, path)
  }

  deinit {
    if let guarded { cmglu_mapping_remove(guarded) }
    if let base { munmap(base, byteCount) }
  }

  /// From now on, pages that a mapped file has lost read as zeros, in place of ending the process with
  /// SIGBUS: what reads them ends in an error. A handler of SIGBUS that the process had before gets all
  /// others.
  public static func survivesTruncation() { _ = cmglu_mappings_guard() }

  /// Throws if a file that is mapped now has lost pages that were read.
  package static func requireWhole() throws(FileError) {
    let path = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
      cmglu_mappings_damaged(buffer.baseAddress, buffer.count)
        ? buffer.baseAddress.map { String(cString: $0) } : nil
    }
    guard let path else { return }
    throw FileError(
      .unreadable, "\(path): the file became shorter while it was read",
      remedy: "leave files alone while they are in use, and start again")
  }

  /// The bytes, copied.
  public var contents: [UInt8] { withBytes { span in span.withUnsafeBytes { Array($0) } } }

  /// The bytes where they are mapped: only for an owner that outlives their use, never for
  /// `try MappedFile(path: path).bytes`, which is unmapped before it is read.
  package var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base, count: byteCount)
  }

  /// Reads the bytes.
  public func withBytes<R, E: Error>(_ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    defer { withExtendedLifetime(self) {} }
    return try body(RawSpan(_unsafeBytes: bytes))
  }
}
