import MGLUCompute

/// Calls `body` with a folder of its own in `parent`, which is removed afterwards.
package func withTemporaryFolder<Result>(
  in parent: String = "/tmp", _ body: (String) throws -> Result
) throws -> Result {
  let path = "\(parent)/mglu-test-\(UInt64.random(in: 0 ... .max))"
  try Folder.create(path)
  defer { try? Folder.remove(path) }
  return try body(path)
}
