#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A standard stream for people: its width, and whether it is a terminal at all.
public struct Terminal: Sendable {
  /// The file descriptor, 1 for standard output or 2 for standard error.
  public let descriptor: Int32
  /// Whether lines can be rewritten.
  public let isInteractive: Bool

  /// The terminal behind a file descriptor.
  public init(_ descriptor: Int32) {
    self.descriptor = descriptor
    let type = getenv("TERM").map { String(cString: $0) }
    isInteractive = isatty(descriptor) == 1 && type != "dumb"
  }

  /// Standard output.
  public static let output = Terminal(STDOUT_FILENO)
  /// Standard error.
  public static let error = Terminal(STDERR_FILENO)

  /// Columns, 80 where that is unknown.
  public var width: Int {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// Writes `string` at once and says whether anyone still reads.
  @discardableResult
  public func write(_ string: String) -> Bool {
    var rest = Array(string.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}

/// The system's `write`, under a name that no method hides.
private func systemWrite(
  _ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int
) -> Int {
  write(descriptor, bytes, count)
}
