#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

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
  /// How long a client may let the server wait with the rest of a request's body and with reading
  /// what it is sent, at most the engine's time limit. A connection without a request is closed after
  /// a quarter more.
  public var patience: Duration

  /// Creates settings.
  public init(
    host: String = "127.0.0.1", port: Int = 8080, apiKey: String? = nil, mostBytes: Int = 4 << 20,
    patience: Duration = .seconds(60)
  ) {
    self.host = host
    self.port = port
    self.apiKey = apiKey
    self.mostBytes = mostBytes
    self.patience = patience
  }

  /// The key in the first line of `file`, or, without one, in `MGLU_API_KEY` of the environment;
  /// `nil` where that is not set either. There nobody else sees it.
  public static func apiKey(file: String?) throws(ServerError) -> String? {
    guard let file else { return getenv("MGLU_API_KEY").map { String(cString: $0) } }
    let contents: MappedFile
    do { contents = try MappedFile(path: file) } catch {
      throw ServerError(.key, error.message, remedy: error.remedy)
    }
    let line = contents.contents.prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
    guard let key = String(validating: line, as: UTF8.self) else {
      throw ServerError(.key, "\(file): the key is not valid UTF-8")
    }
    return key
  }

  /// Throws what is no port, or a key that no request could carry.
  public func validate() throws(ServerError) {
    guard (0...65_535).contains(port) else {
      throw ServerError(.address, "port \(port): expected 0 to 65535")
    }
    guard apiKey?.isEmpty != true else {
      throw ServerError(
        .key, "the API key is empty",
        remedy: "give one, or neither --api-key, --api-key-file nor MGLU_API_KEY")
    }
    // A header holds nothing else, and a stray blank would shut everyone out.
    if let apiKey, !apiKey.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) {
      throw ServerError(
        .key, "the API key has blanks or other characters than a header carries",
        remedy: "take letters, digits and punctuation of ASCII")
    }
  }

  /// Whether an `Authorization` header has the key. Takes as long for any key of a length.
  package func admits(authorization: String?) -> Bool {
    guard let apiKey else { return true }
    let header = Array((authorization ?? "").utf8)
    // The name of a scheme has no case, and any number of blanks follows it.
    let scheme = header.prefix { $0 != UInt8(ascii: " ") }
    guard String(decoding: scheme, as: UTF8.self).lowercased() == "bearer" else { return false }
    let found = header[scheme.endIndex...].drop { $0 == UInt8(ascii: " ") }
    let expected = Array(apiKey.utf8)
    var difference = UInt8(found.count == expected.count ? 0 : 1)
    for (a, b) in zip(found, expected) { difference |= a ^ b }
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
