#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The address of a server, and the key that it requires of its clients.
public struct ServerSettings: Sendable {
  /// The address to listen on. The default accepts connections of this machine only.
  public var host: String
  /// The port; 0 means any free one.
  public var port: Int
  /// The key that requests must have as `Authorization: Bearer`; `nil` for none.
  public var apiKey: String?
  /// Maximum number of bytes of a request's body, 1 to ``mostBytes``.
  public var maxBytes: Int
  /// How long the server waits for the rest of a request's body, and for a client to read a response;
  /// at most the engine's time limit. It waits a quarter longer for the next request of a connection.
  public var clientTimeout: Duration
  /// Names under which requests may ask for this server, beside the names and addresses of this machine;
  /// `*` for any. They are looked at only without a key.
  public var allowedHosts: [String]
  /// Origins whose web pages may use this server, such as `http://localhost:5173`, beside its own page;
  /// `*` for any.
  public var corsOrigins: [String]
  /// Whether SIGTERM and SIGINT end ``Server/run(onStart:)``; what they did before they do after it again.
  public var handlesSignals: Bool
  /// How long a computation goes on for a client that has ended its own side, and may be gone.
  package var halfClosedTime = Duration.seconds(1)

  /// The largest ``maxBytes``, 1 GiB: a body is in memory as a whole.
  public static let mostBytes = 1 << 30

  /// Creates settings.
  public init(
    host: String = "127.0.0.1", port: Int = 8080, apiKey: String? = nil, maxBytes: Int = 4 << 20,
    clientTimeout: Duration = .seconds(60), allowedHosts: [String] = [], corsOrigins: [String] = [],
    handlesSignals: Bool = true
  ) {
    self.handlesSignals = handlesSignals
    self.allowedHosts = allowedHosts
    self.corsOrigins = corsOrigins
    self.host = host
    self.port = port
    self.apiKey = apiKey
    self.maxBytes = maxBytes
    self.clientTimeout = clientTimeout
  }

  /// The key in the first line of `file`. Without a file, the environment variable `MGLU_API_KEY`, or
  /// `nil` if it is not set. Other users of the machine see neither.
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

  /// Throws if the port, a limit or the time is out of range, if a header cannot hold the key, or if an origin
  /// is none.
  public func validate() throws(ServerError) {
    guard (0...65_535).contains(port) else {
      throw ServerError(.address, "port \(port): expected 0 to 65535")
    }
    guard (1...Self.mostBytes).contains(maxBytes) else {
      throw ServerError(
        .limit, "bodies of at most \(maxBytes) bytes: expected 1 to \(Self.mostBytes)")
    }
    guard clientTimeout > .zero else {
      throw ServerError(.limit, "a client's time of \(clientTimeout): expected more than none")
    }
    for origin in corsOrigins where !Self.isOrigin(origin) {
      throw ServerError(
        .origin, "origin \(origin): expected * or a scheme, a host and a port",
        remedy: "write it as a browser does, such as http://localhost:5173")
    }
    guard apiKey?.isEmpty != true else {
      throw ServerError(
        .emptyKey, "the API key is empty", remedy: "give a key, or none")
    }
    // A header holds nothing else, and with a stray blank no request would be accepted.
    if let apiKey, !apiKey.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) {
      throw ServerError(
        .key, "the API key has blanks or other characters than a header carries",
        remedy: "take letters, digits and punctuation of ASCII")
    }
  }

  /// Whether an `Authorization` header, or `X-Api-Key`, has the key. The time does not depend on how much
  /// of a key of the right length is right.
  package func admits(authorization: String?, key: String? = nil) -> Bool {
    guard let apiKey else { return true }
    if let key, Self.areEqual(Array(key.utf8)[...], Array(apiKey.utf8)) { return true }
    let header = Array((authorization ?? "").utf8)
    // The name of a scheme is not case-sensitive, and any number of blanks may follow it.
    let scheme = header.prefix { $0 != UInt8(ascii: " ") }
    guard String(decoding: scheme, as: UTF8.self).lowercased() == "bearer" else { return false }
    let found = header[scheme.endIndex...].drop { $0 == UInt8(ascii: " ") }
    return Self.areEqual(found, Array(apiKey.utf8))
  }

  private static func areEqual(_ found: ArraySlice<UInt8>, _ expected: [UInt8]) -> Bool {
    var difference = UInt8(found.count == expected.count ? 0 : 1)
    for (a, b) in zip(found, expected) { difference |= a ^ b }
    return difference == 0
  }
}

/// Why a server does not run.
public enum ServerProblem: Sendable {
  /// It cannot listen at the host and port.
  case address
  /// The API key is empty.
  case emptyKey
  /// The API key cannot be read, or a header cannot hold it.
  case key
  /// An origin of other web pages is none.
  case origin
  /// A size or a time is out of range.
  case limit
  /// The program was built without the trait `Server`.
  case unavailable
}

/// An error of running a server.
public typealias ServerError = Failure<ServerProblem>
