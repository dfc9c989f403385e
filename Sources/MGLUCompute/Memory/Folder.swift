#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The few things done to folders and paths.
public enum Folder {
  /// What lies at a path.
  public enum Kind: Sendable { case file, folder, other }

  /// What lies at `path`, following links, or `nil` for nothing.
  public static func kind(of path: String) -> Kind? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return .file
    case S_IFDIR: return .folder
    default: return .other
    }
  }

  /// Throws unless the folder at `path` is the user's, or the administrator's, and nobody else can write to
  /// it.
  static func requireOwn(_ path: String) throws(FileError) {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FileError(.unreadable, path: path) }
    guard isOwn(status) else { throw FileError(othersWriteTo: path) }
  }

  /// Whether only the user, or the administrator, can write to what has this status.
  static func isOwn(_ status: stat) -> Bool {
    [0, geteuid()].contains(status.st_uid) && status.st_mode & (S_IWGRP | S_IWOTH) == 0
  }

  /// Whether `path` is a symbolic link.
  public static func isLink(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
  }

  /// Creates the folder at `path` and those above it; one that exists is left alone.
  public static func create(_ path: String) throws(FileError) {
    if kind(of: path) == .folder { return }
    let above = parent(of: path)
    if above != path, kind(of: above) == nil { try create(above) }
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw FileError(.cannotWrite, path: path)
    }
    guard kind(of: path) == .folder else {
      throw FileError(.wrongKind, "\(path): a folder was expected")
    }
  }

  /// The names in a folder, sorted by their bytes.
  public static func names(in path: String) throws(FileError) -> [String] {
    guard let stream = opendir(path) else { throw FileError(.unreadable, path: path) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Removes a file, or a folder with everything in it; nothing at `path` is fine.
  public static func remove(_ path: String) throws(FileError) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in try names(in: path) { try remove(path + "/" + name) }
      guard rmdir(path) == 0 else { throw FileError(.cannotWrite, path: path) }
    } else {
      guard unlink(path) == 0 else { throw FileError(.cannotWrite, path: path) }
    }
  }

  /// Renames and makes the new name survive a power cut.
  public static func move(_ path: String, to target: String) throws(FileError) {
    guard rename(path, target) == 0 else { throw FileError(.cannotWrite, path: target) }
    try sync(parent(of: target))
  }

  /// Writes a folder's entries to the disk.
  static func sync(_ path: String) throws(FileError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileError(.cannotWrite, path: path) }
    defer { close(descriptor) }
    // Some file systems cannot sync a folder, and say so; there is nothing better to do there.
    guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
      throw FileError(.cannotWrite, path: path)
    }
  }

  /// The folder that holds `path`.
  public static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The last component of `path`.
  public static func name(of path: String) -> String {
    String(path.split(separator: "/", omittingEmptySubsequences: true).last ?? "")
  }

  /// `path` from the root, without links and dots; itself where nothing lies there.
  public static func resolved(_ path: String) -> String {
    guard let whole = realpath(path, nil) else { return path }
    defer { free(whole) }
    return String(cString: whole)
  }
}
