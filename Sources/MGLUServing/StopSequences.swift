/// Finds stop sequences in streamed text, and holds back characters that may begin one.
///
/// The first that is whole ends the text; of several in one part of the text, the one that begins
/// first.
package struct StopSequences {
  private let automaton: StopAutomaton
  /// Where the automaton is after the text.
  private var node: Int32 = 0
  /// The text that is held back begins at `first`: taking each byte away at once would move all
  /// others.
  private var held: [UInt8] = []
  private var first = 0
  /// Whether a stop sequence was found.
  package private(set) var isFound = false

  /// Empty stop sequences are ignored.
  package init(_ stops: [String]) { self.init(StopAutomaton(stops)) }

  /// The same for one of several texts.
  init(_ automaton: StopAutomaton) { self.automaton = automaton }

  /// Adds `text`, and returns the text that cannot belong to a stop sequence any more. A stop
  /// sequence and the text after it are never returned. Takes time in proportion to `text`.
  package mutating func append(_ text: String) -> String {
    if isFound { return "" }
    if automaton.isEmpty { return text }
    var start = Int.max
    for byte in text.utf8 {
      held.append(byte)
      node = automaton.next(node, byte)
      let length = automaton.matchLength(node)
      if length > 0 { start = min(start, held.count - length) }
    }
    if start < .max {
      isFound = true
      return take(start)
    }
    return take(held.count - automaton.length(node))
  }

  /// Returns the text that was held back, when no more text follows.
  package mutating func finish() -> String {
    node = 0
    return isFound ? "" : take(held.count)
  }

  /// Removes and returns the held text before `end`.
  private mutating func take(_ end: Int) -> String {
    defer {
      first = end
      if 2 * first >= held.count {
        held.removeFirst(first)
        first = 0
      }
    }
    return String(decoding: held[first..<end], as: UTF8.self)
  }
}
