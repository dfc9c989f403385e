/// Looks for stop texts in a text as it comes, and holds back what may turn out to begin one.
package struct StopSequences {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  /// Whether a stop text was met.
  package private(set) var isMet = false

  package init(_ stops: [String]) {
    self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
  }

  /// The text that can be given out once `piece` has come. A stop text and what follows are not.
  package mutating func append(_ piece: String) -> String {
    if isMet { return "" }
    if stops.isEmpty { return piece }
    held += piece.utf8
    if let start = firstStop() {
      isMet = true
      defer { held.removeAll() }
      return String(decoding: held[..<start], as: UTF8.self)
    }
    let safe = held.count - undecidedLength()
    defer { held.removeFirst(safe) }
    return String(decoding: held[..<safe], as: UTF8.self)
  }

  /// What was held back, now that nothing follows.
  package mutating func finish() -> String {
    defer { held.removeAll() }
    return String(decoding: held, as: UTF8.self)
  }

  private func firstStop() -> Int? {
    held.indices.first { start in stops.contains { held[start...].starts(with: $0) } }
  }

  /// The length of the longest end of the text that a stop text begins with.
  private func undecidedLength() -> Int {
    let longest = stops.reduce(0) { max($0, $1.count - 1) }
    for length in stride(from: min(longest, held.count), to: 0, by: -1)
    where stops.contains(where: { $0.count > length && $0.starts(with: held.suffix(length)) }) {
      return length
    }
    return 0
  }
}
