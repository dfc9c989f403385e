/// Where a server listens, and what it asks of those who come.
public struct ServerSettings: Sendable {
  /// The address, by default this machine's alone.
  public var host: String
  /// The port; 0 takes a free one.
  public var port: Int
  /// What requests must carry as `Authorization: Bearer`, if anything.
  public var apiKey: String?
  /// Most bytes of a request's body.
  public var mostBytes: Int

  /// Creates settings.
  public init(
    host: String = "127.0.0.1", port: Int = 8080, apiKey: String? = nil, mostBytes: Int = 4 << 20
  ) {
    self.host = host
    self.port = port
    self.apiKey = apiKey
    self.mostBytes = mostBytes
  }

  /// Throws what is no port, or a key that no request could carry.
  public func validate() throws(ServerError) {
    guard (0...65_535).contains(port) else {
      throw ServerError(.address, "port \(port): expected 0 to 65535")
    }
    guard apiKey?.isEmpty != true else {
      throw ServerError(.key, "the API key is empty", remedy: "give one, or leave --api-key out")
    }
  }

  /// Whether an `Authorization` header has the key. Takes as long for any header of a length.
  package func admits(authorisation: String?) -> Bool {
    guard let apiKey else { return true }
    let expected = Array("Bearer \(apiKey)".utf8)
    let found = Array((authorisation ?? "").utf8)
    var difference = UInt8(found.count == expected.count ? 0 : 1)
    for index in found.indices { difference |= found[index] ^ expected[index % expected.count] }
    return difference == 0
  }
}

/// What kept a server from running.
public enum ServerProblem: Sendable {
  /// It cannot listen there.
  case address
  /// The key is none.
  case key
  /// This program was built without it.
  case unavailable
}

/// An error of running a server.
public typealias ServerError = Failure<ServerProblem>
