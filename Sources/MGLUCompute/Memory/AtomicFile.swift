import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file that appears whole or not at all: written without a name, or under a temporary one where the file
/// system wants one, synced, then renamed.
///
/// Whatever ends the process before ``commit()`` leaves the old content in place, and without a name nothing else.
public struct AtomicFile: ~Copyable {
  private let path: String
  private let temporaryPath: String
  private let descriptor: Int32
  private var crc = CRC32C()
  private var isOpen = true
  private let isNamed: Bool
  /// Bytes written so far.
  public private(set) var byteCount = 0

  /// Opens a temporary file in the folder of `path`.
  public init(path: String) throws(FileError) {
    self.path = path
    // Random, for containers that share a folder have equal process ids.
    temporaryPath = "\(path).\(UInt64.random(in: 0 ... .max)).tmp"
    let unnamed = cmglu_unnamed_file(Folder.parent(of: path))
    isNamed = unnamed < 0
    guard isNamed else {
      descriptor = unnamed
      return
    }
    descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw FileError(.cannotWrite, path: path) }
  }

  deinit {
    if isOpen {
      close(descriptor)
      if isNamed { unlink(temporaryPath) }
    }
  }

  /// Whether a file of that name is what a process that was killed left of one of these.
  public static func isTemporary(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count > 2 && parts.last == "tmp" && UInt64(parts[parts.count - 2]) != nil
  }

  /// CRC-32C of what was written.
  public var checksum: UInt32 { crc.value }

  /// Appends bytes.
  package mutating func write(contentsOf bytes: UnsafeRawBufferPointer) throws(FileError) {
    crc.update(bytes)
    byteCount += bytes.count
    var rest = bytes[...]
    while !rest.isEmpty {
      let part = UnsafeRawBufferPointer(rebasing: rest)
      // Linux writes at most 2 GiB at a time.
      #if canImport(Glibc)
        let count = Glibc.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
      #elseif canImport(Musl)
        let count = Musl.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
      #else
        let count = Darwin.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
      #endif
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw FileError(.cannotWrite, path: path) }
      rest = rest.dropFirst(count)
    }
  }

  /// Appends bytes.
  public mutating func write(_ bytes: [UInt8]) throws(FileError) {
    var failure: FileError?
    bytes.withUnsafeBytes { raw in
      do throws(FileError) { try write(contentsOf: raw) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Syncs and renames: from here on the file is there, whatever happens.
  public consuming func commit() throws(FileError) {
    guard fsync(descriptor) == 0 else { throw FileError(.cannotWrite, path: path) }
    guard isNamed || cmglu_name_file(descriptor, temporaryPath) else {
      throw FileError(.cannotWrite, path: path)
    }
    guard rename(temporaryPath, path) == 0 else {
      let error = FileError(.cannotWrite, path: path)
      if !isNamed { unlink(temporaryPath) }
      throw error
    }
    isOpen = false
    close(descriptor)
    try Folder.sync(Folder.parent(of: path))
  }

  /// Replaces the content of `path` and returns its CRC-32C.
  @discardableResult
  public static func write(_ bytes: [UInt8], to path: String) throws(FileError) -> UInt32 {
    var file = try AtomicFile(path: path)
    try file.write(bytes)
    let checksum = file.checksum
    try file.commit()
    return checksum
  }
}
