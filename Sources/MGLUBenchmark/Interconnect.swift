/// What connects the processors of ranks, as far as the time of a step depends on it: a link of each to
/// the others of its host, and one to the network between hosts.
package struct Interconnect: Sendable {
  /// How many ranks there are.
  package let ranks: Int
  /// How many of them share a host.
  package let ranksPerHost: Int
  /// Bytes a second that a rank sends, and as many that it receives, within its host.
  package let linkRate: Double
  /// The same between hosts.
  package let networkRate: Double
  /// Seconds until a message arrives, whatever its size; a rank's messages follow one another.
  package let latency: Double

  /// What connects `ranks` ranks.
  package init(
    ranks: Int, ranksPerHost: Int, linkRate: Double, networkRate: Double, latency: Double
  ) {
    (self.ranks, self.ranksPerHost) = (ranks, ranksPerHost)
    (self.linkRate, self.networkRate, self.latency) = (linkRate, networkRate, latency)
  }

  /// Seconds in which every rank sends `byteCount` bytes to every other. Both links are busy at a time.
  package func seconds(exchanging byteCount: Int) -> Double {
    let inside = min(ranks, ranksPerHost) - 1
    let outside = ranks - 1 - inside
    return max(
      Double(inside) * Double(byteCount) / linkRate,
      Double(outside) * Double(byteCount) / networkRate) + latency * Double(ranks - 1)
  }
}
