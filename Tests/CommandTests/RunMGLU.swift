import Foundation
import MGLUTestSupport

/// What a run of `mglu` came to.
struct CommandResult {
  let status: Int32
  let output: String
  let errors: String

  /// The one JSON document of standard output.
  func json() throws -> [String: Any] {
    let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
    return value as? [String: Any] ?? [:]
  }
}

/// Runs the built `mglu`, or sends it a signal once something has happened. A limit on the size of
/// files fails writes as a full disk does, and there is one on open files; what goes to `output`, a file, is not in the result; `input` is
/// a short text for standard input.
func mglu(
  _ arguments: [String], killOnce hasHappened: (() -> Bool)? = nil, with signal: Int32 = SIGKILL,
  fileBlocks: Int? = nil, openFiles: Int? = nil, output: String? = nil, input: String? = nil
) throws -> CommandResult {
  let process = Process()
  let program = productFolder.appendingPathComponent("mglu")
  let limits = [
    fileBlocks.map { "trap '' XFSZ; ulimit -f \($0); " }, openFiles.map { "ulimit -n \($0); " },
  ].compactMap(\.self)
  if !limits.isEmpty {
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    let script = limits.joined() + "exec \"$@\""
    process.arguments = ["-c", script, "sh", program.path] + arguments
  } else {
    process.executableURL = program
    process.arguments = arguments
  }
  let files = try ["out", "err"].map { suffix in
    let url = URL(fileURLWithPath: "/tmp/mglu-\(UUID().uuidString).\(suffix)")
    _ = FileManager.default.createFile(atPath: url.path, contents: nil)
    return (url, try FileHandle(forWritingTo: url))
  }
  defer { for (url, _) in files { try? FileManager.default.removeItem(at: url) } }
  process.standardOutput =
    try output.map { try FileHandle(forWritingTo: URL(fileURLWithPath: $0)) }
    ?? files[0].1
  process.standardError = files[1].1
  process.standardInput = FileHandle.nullDevice
  if let input {
    let pipe = Pipe()
    process.standardInput = pipe
    try pipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try pipe.fileHandleForWriting.close()
  }
  try process.run()
  if let hasHappened {
    while process.isRunning, !hasHappened() { usleep(2000) }
    kill(process.processIdentifier, signal)
  }
  process.waitUntilExit()
  let texts = try files.map { String(decoding: try Data(contentsOf: $0.0), as: UTF8.self) }
  return CommandResult(status: process.terminationStatus, output: texts[0], errors: texts[1])
}

/// Whether a file or folder of that name lies anywhere below `folder`.
func holds(_ folder: String, _ name: String) -> Bool {
  let below = FileManager.default.enumerator(atPath: folder)
  return below?.contains { ($0 as? String)?.split(separator: "/").last == name[...] } ?? false
}

/// Where the package's products lie: beside the test bundle, or beside the tests themselves.
let productFolder: URL = {
  let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }
  let path = bundle?.bundlePath ?? CommandLine.arguments[0]
  return URL(fileURLWithPath: path).deletingLastPathComponent()
}()

/// Calls `body` with a folder that has a text in it.
func withText(_ body: (_ folder: String, _ text: String) throws -> Void) throws {
  try withTemporaryFolder { folder in
    let text = (0..<400).map { "Line \($0) of a text, \($0 * $0) words long.\n" }.joined()
    try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/text.txt"))
    try body(folder, folder + "/text.txt")
  }
}
