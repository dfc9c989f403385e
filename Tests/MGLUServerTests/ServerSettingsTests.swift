import Foundation
import MGLUServer
import Testing

@Suite struct ServerSettingsTests {
  @Test func keysAreCompared() {
    let settings = ServerSettings(apiKey: "secret")
    for right in ["Bearer secret", "bearer secret", "BEARER  secret"] {
      #expect(settings.admits(authorization: right))
    }
    for wrong in [
      "Bearersecret", "Basic secret", "Bearer", "Bearer ", "Bearer secretsecret", "Bearer secre",
      "Bearer secret!", "Bearer Secret", "secret", "", nil,
    ] {
      #expect(!settings.admits(authorization: wrong))
    }
    #expect(ServerSettings().admits(authorization: nil))
    for (bad, code): (String, ServerProblem) in [
      ("", .emptyKey), ("a b", .key), ("key\n", .key), ("ключ", .key),
    ] {
      let error = #expect(throws: ServerError.self) {
        try ServerSettings(apiKey: bad).validate()
      }
      #expect(error?.code == code)
    }
  }

  @Test func keysComeFromFiles() throws {
    let path = "/tmp/mglu-test-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: path) }
    for (text, key) in [
      ("secret\nmore\n", "secret"), ("secret", "secret"), ("a\r\n", "a"), ("", ""),
    ] {
      try AtomicFile.write(Array(text.utf8), to: path)
      #expect(try ServerSettings.apiKey(file: path) == key)
    }
    #expect(throws: ServerError.self) { try ServerSettings.apiKey(file: path + "none") }
  }

  @Test(arguments: [-1, 65_536]) func portsOutOfRangeAreRefused(port: Int) {
    let error = #expect(throws: ServerError.self) { try ServerSettings(port: port).validate() }
    #expect(error?.code == .address)
  }
}
