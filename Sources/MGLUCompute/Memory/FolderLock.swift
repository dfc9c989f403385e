#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A folder that one process at a time writes to, as long as this lives; the system lets go of it
/// when the process ends, however it does.
public struct FolderLock: ~Copyable {
  private let descriptor: Int32

  /// Locks the folder at `path`.
  ///
  /// - Throws: ``FileProblem/inUse`` where another process, or another lock of this one, has it.
  ///   Where the file system knows no locks there is none.
  public init(_ path: String) throws(FileError) {
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(.unreadable, path: path) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else { return }
    close(descriptor)
    throw FileError(
      .inUse, "\(path) is being written to by another process",
      remedy: "wait for its end, or give another folder")
  }

  deinit { close(descriptor) }
}
