/// Finds stop sequences in streamed text, and holds back characters that may begin one.
package struct StopSequences {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  /// Whether a stop sequence was found.
  package private(set) var isFound = false

  /// Empty stop sequences are ignored.
  package init(_ stops: [String]) {
    self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
  }

  /// Adds `text`, and returns the text that cannot belong to a stop sequence any more. A stop sequence
  /// and the text after it are never returned.
  package mutating func append(_ text: String) -> String {
    if isFound { return "" }
    if stops.isEmpty { return text }
    held += text.utf8
    if let start = firstStop() {
      isFound = true
      defer { held.removeAll() }
      return String(decoding: held[..<start], as: UTF8.self)
    }
    let safe = held.count - undecidedLength()
    defer { held.removeFirst(safe) }
    return String(decoding: held[..<safe], as: UTF8.self)
  }

  /// Returns the text that was held back, when no more text follows.
  package mutating func finish() -> String {
    defer { held.removeAll() }
    return String(decoding: held, as: UTF8.self)
  }

  private func firstStop() -> Int? {
    held.indices.first { start in stops.contains { held[start...].starts(with: $0) } }
  }

  /// The length of the longest suffix of the held text that is a prefix of a stop sequence.
  private func undecidedLength() -> Int {
    let longest = stops.reduce(0) { max($0, $1.count - 1) }
    for length in stride(from: min(longest, held.count), to: 0, by: -1)
    where stops.contains(where: { $0.count > length && $0.starts(with: held.suffix(length)) }) {
      return length
    }
    return 0
  }
}
