import MGLUModel

/// Calls `body` with a folder of its own, which is removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  var random = SystemRandomNumberGenerator()
  let path = "/tmp/mglu-test-\(random.next())"
  try Folder.create(path)
  defer { try? Folder.remove(path) }
  return try body(path)
}
