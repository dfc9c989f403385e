#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file's bytes, mapped read-only: opening costs nothing, pages are read when they are touched.
///
/// May be read from any thread. The file must not be truncated by another process meanwhile.
public final class MappedFile: Sendable {
  /// The size of the file.
  public let byteCount: Int
  /// Where it lies.
  public let path: String
  nonisolated(unsafe) private let base: UnsafeMutableRawPointer?

  /// Maps the regular file at `path`.
  public init(path: String) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(.unreadable, path: path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(.unreadable, path: path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FileError(.wrongKind, "\(path): a file was expected")
    }
    self.path = path
    byteCount = Int(status.st_size)
    guard byteCount > 0 else {
      base = nil
      return
    }
    base = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard base != MAP_FAILED else { throw FileError(.unreadable, path: path) }
  }

  deinit { if let base { munmap(base, byteCount) } }

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
