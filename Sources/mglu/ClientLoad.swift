import MGLU
import MGLUServer

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Clients of a server on this machine, each a thread with a connection of its own.
struct ClientLoad {
  let port: Int
  /// Tokens of a prompt, and tokens that follow it.
  let prompt, generate: Int
  let vocabulary: Int

  /// Medians over `rounds` rounds, after one that warms up.
  func measure(
    clients: Int, rounds: Int
  ) async throws -> (tokensPerSecond: Double, firstToken: Double) {
    var speeds: [Double] = []
    var waits: [Double] = []
    for round in 0...rounds {
      let found = try await withThrowingTaskGroup(of: Times.self) { group in
        for client in 0..<clients {
          group.addTask { try await stream(prompt: tokens(client, round, of: clients)) }
        }
        return try await group.reduce(into: [Times]()) { $0.append($1) }
      }
      guard round > 0, let begin = found.map(\.begin).min(), let end = found.map(\.end).max()
      else { continue }
      speeds.append(Double(clients * generate) / ((end - begin) / .seconds(1)))
      waits += found.map { ($0.first - $0.begin) / .seconds(1) }
    }
    return (median(speeds), median(waits))
  }

  private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

  /// A prompt that no other client and no other round has, from its first token on.
  private func tokens(_ client: Int, _ round: Int, of clients: Int) -> [Int] {
    let first = round * clients + client
    return (0..<prompt).map { (first + $0 * (1 + first % 31) + first / vocabulary) % vocabulary }
  }

  private struct Times {
    let begin, first, end: ContinuousClock.Instant
  }

  /// A streamed completion, on a thread that may wait.
  private func stream(prompt: [Int]) async throws -> Times {
    try await withCheckedThrowingContinuation { continuation in
      let code = SystemThread.start {
        continuation.resume(with: Result { try complete(prompt) })
      }
      guard code == 0 else {
        let reason = String(cString: strerror(code))
        return continuation.resume(
          throwing: ServerError(.address, "a client's thread did not start: \(reason)"))
      }
    }
  }

  private func complete(_ prompt: [Int]) throws -> Times {
    let connection = try LoopbackConnection(port: port)
    let body = """
      {"prompt": \(prompt), "max_tokens": \(generate), "temperature": 0, "stream": true, \
      "ignore_eos": true}
      """
    let begin = ContinuousClock.now
    try connection.send(
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        + "Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body)
    var first: ContinuousClock.Instant?
    var received = ""
    while let part = try connection.receive() {
      received += part
      if first == nil, received.contains("data: {") { first = .now }
    }
    guard let first, received.contains("data: [DONE]") else {
      throw ServerError(
        .address, "a client got no completion: " + String(received.prefix(300)))
    }
    return Times(begin: begin, first: first, end: .now)
  }
}

/// A connection to this machine; its owner waits for every byte.
private final class LoopbackConnection {
  private let descriptor: Int32

  init(port: Int) throws(ServerError) {
    #if canImport(Glibc)
      let stream = Int32(SOCK_STREAM.rawValue)
    #else
      let stream = SOCK_STREAM
    #endif
    descriptor = socket(AF_INET, stream, 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard descriptor >= 0, result == 0 else { throw Self.failure() }
  }

  deinit { close(descriptor) }

  private static func failure() -> ServerError {
    ServerError(.address, "a client's connection: \(String(cString: strerror(errno)))")
  }

  func send(_ text: String) throws(ServerError) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      guard count > 0 else { throw Self.failure() }
      rest = rest.dropFirst(count)
    }
  }

  /// The next characters, or `nil` at the end.
  func receive() throws(ServerError) -> String? {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw Self.failure() }
    return count == 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
  }
}
