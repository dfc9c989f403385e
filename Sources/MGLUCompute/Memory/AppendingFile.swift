#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A log: whatever is appended is handed to the system at once and survives the process; what was
/// there at the last ``sync()`` survives a power cut.
public struct AppendingFile: ~Copyable {
  private let path: String
  private let descriptor: Int32

  /// Opens the file at `path`, which is no link, or creates it.
  public init(path: String) throws(FileError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.cannotWrite, path: path) }
  }

  deinit { close(descriptor) }

  /// Appends bytes. A file that has been removed is an error: nobody would find them.
  public func append(_ bytes: [UInt8]) throws(FileError) {
    var status = stat()
    if fstat(descriptor, &status) == 0, status.st_nlink == 0 {
      throw FileError(
        .missing, "\(path): the file was removed while it was written to",
        remedy: "keep the folder until its run has ended")
    }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw FileError(.cannotWrite, path: path) }
      rest = rest.dropFirst(count)
    }
  }

  /// Writes everything to the disk.
  public func sync() throws(FileError) {
    // A pipe or a terminal cannot be synced and need not be.
    guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
      throw FileError(.cannotWrite, path: path)
    }
  }
}
