import MGLUCompute

/// Calls `body` with a folder of its own, which is removed afterwards.
func withTemporaryFolder(_ body: (String) throws -> Void) throws {
  var random = SystemRandomNumberGenerator()
  let path = "/tmp/mglu-test-\(random.next())"
  try Folder.create(path)
  defer { try? Folder.remove(path) }
  try body(path)
}
