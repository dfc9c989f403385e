#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What kept a file from being read or written.
public enum FileProblem: Sendable {
  /// There is nothing at that path.
  case missing
  /// It exists, but cannot be read.
  case unreadable
  /// It is a folder or a device where a file was expected, or the other way round.
  case wrongKind
  /// It cannot be written.
  case cannotWrite
  /// Another process writes to it.
  case inUse
  /// The disk, or the quota, is full.
  case diskFull
  /// Others can change it.
  case untrusted
}

/// An error of the file system.
public typealias FileError = Failure<FileProblem>

extension Failure where Code == FileProblem {
  /// The error that `errno` tells of `path`.
  package init(_ problem: FileProblem, path: String, errno code: Int32 = errno) {
    let reason = String(cString: strerror(code))
    switch code {
    case ENOENT: self.init(.missing, "\(path): no such file or folder")
    case ENOSPC, EDQUOT, EFBIG:
      self.init(
        .diskFull, "\(path): \(reason)", remedy: "free some space or write to another disk")
    default: self.init(problem, "\(path): \(reason)")
    }
  }

  /// The error of a file or folder that must be the user's own.
  init(othersWriteTo path: String) {
    self.init(
      .untrusted, "\(path) is not only yours: others can write to it",
      remedy: "take a folder of your own, which only you can write to (chmod go-w)")
  }
}
