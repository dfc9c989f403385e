// Which names and which web pages may use a server. A browser lets any page send requests to this machine;
// it says where the page is from (Origin), and by which name the page knows this machine (Host). A page
// whose own name leads here (DNS rebinding) has an origin that equals its host: the name gives it away.

extension ServerSettings {
  /// Whether a request may call this server `host`, a name or an address with or without a port. With a
  /// key it may be any: a page has none.
  package func admits(host: String?) -> Bool {
    guard apiKey == nil, let host, !allowedHosts.contains("*") else { return true }
    let name = Self.name(ofHost: host)
    if Self.isAddress(name) || name == "localhost" || name.hasSuffix(".localhost") { return true }
    return name == self.host.lowercased() || allowedHosts.contains { $0.lowercased() == name }
  }

  /// Whether web pages of `origin` may use this server, which the request calls `host`.
  package func admits(origin: String, host: String?) -> Bool {
    let origin = origin.lowercased()
    if corsOrigins.contains(where: { $0 == "*" || $0.lowercased() == origin }) { return true }
    guard let host = host?.lowercased() else { return false }
    return origin == "http://" + host || origin == "https://" + host
  }

  /// Whether only this machine can reach the server.
  public var isLocal: Bool {
    host == "localhost" || host == "::1" || host.hasPrefix("127.") && Self.isAddress(host)
  }

  /// Whether `text` is `*` or an origin as browsers write it.
  static func isOrigin(_ text: String) -> Bool {
    if text == "*" || text == "null" { return true }
    guard let range = text.firstRange(of: "://"), range.lowerBound != text.startIndex else {
      return false
    }
    let rest = text[range.upperBound...]
    return !rest.isEmpty && !rest.contains { $0 == "/" || $0 == "?" || $0 == "#" || $0 == " " }
  }

  /// A host without its port, in lower case.
  private static func name(ofHost host: String) -> String {
    let host = host.lowercased()
    if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
      return String(host[host.index(after: host.startIndex)..<end])
    }
    let name = host.prefix { $0 != ":" }
    return String(name.hasSuffix(".") ? name.dropLast() : name)
  }

  /// Whether `name` is an address in place of a name: no page's name is one.
  private static func isAddress(_ name: String) -> Bool {
    if name.contains(":") { return name.allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." } }
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }
}
