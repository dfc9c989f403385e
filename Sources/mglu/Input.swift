#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Standard input.
enum Input {
  /// Whether someone types it.
  static var isInteractive: Bool { isatty(STDIN_FILENO) == 1 }

  /// All of it, without the line break at its end.
  static func text() throws -> String {
    if isInteractive { Output.note("The prompt is read from here; Ctrl-D ends it.") }
    var lines: [String] = []
    while let line = readLine(strippingNewline: false) { lines.append(line) }
    var text = lines.joined()
    // One character, also of files whose lines end as on Windows.
    if text.hasSuffix("\n") || text.hasSuffix("\r\n") { text.removeLast() }
    return text
  }
}
