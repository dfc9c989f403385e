import MGLUReports

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Results, which go to standard output; everything else goes to standard error.
enum Output {
  /// Writes `string` at once. Without a reader the process ends silently, like every filter.
  static func write(_ string: String) {
    guard !Terminal.output.write(string) else { return }
    let code = errno
    if code == EPIPE { exit(EXIT_SUCCESS) }
    note("Error: standard output: \(String(cString: strerror(code)))")
    exit(EXIT_FAILURE)
  }

  /// Writes a line.
  static func line(_ line: String) { write(line + "\n") }

  /// Writes a table: at most as wide as the terminal, or at its own width without one.
  static func table(_ table: Table) {
    let terminal = Terminal.output
    table.lines(width: terminal.isInteractive ? terminal.width : .max).forEach(line)
  }

  /// Writes one JSON document, its keys in snake case.
  static func json(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Encoding plain values of our own cannot fail.
    if let data = try? encoder.encode(value) { line(String(decoding: data, as: UTF8.self)) }
  }

  /// Writes to standard error what stands before an input.
  static func ask(_ text: String) { Terminal.error.write(text) }

  /// Writes a line to standard error.
  static func note(_ message: String) { Terminal.error.write(message + "\n") }
}
