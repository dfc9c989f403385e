/// What Git leaves in place of a large file that was not fetched (Git LFS).
struct GitPointer {
  private static let beginning = "version https://git-lfs"

  /// The pointer that `bytes` are, if they are one.
  init?(_ bytes: some Collection<UInt8>) {
    guard bytes.starts(with: Self.beginning.utf8) else { return nil }
  }

  /// That `path` is no more than this.
  func error(_ path: String) -> CheckpointError {
    CheckpointError(
      .malformed, "\(path): a Git LFS pointer in place of the file",
      remedy: "fetch the file itself with git lfs pull")
  }
}
