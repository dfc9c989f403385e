import MGLUServer
import Testing

@Suite struct StopTextsTests {
  /// Whatever the pieces, the text ends before the first stop text.
  @Test(arguments: 1...7)
  func stopTextsAreFoundAcrossPieces(length: Int) {
    let text = "a\n\nUser says aab ✓✓ the end"
    for (stop, expected) in [
      ("\n\nUser:", text), ("aab", "a\n\nUser says "), ("✓✓ ", "a\n\nUser says aab "), ("", text),
      ("d", "a\n\nUser says aab ✓✓ the en"),
    ] {
      var stops = StopSequences([stop, "", "zz"])
      var (found, rest) = ("", Substring(text))
      while !rest.isEmpty {
        found += stops.append(String(rest.prefix(length)))
        rest = rest.dropFirst(length)
      }
      found += stops.finish()
      #expect(found == expected)
      #expect(stops.isMet == (expected != text))
    }
  }

  @Test func onlyWhatMayBeginAStopTextIsHeldBack() {
    var stops = StopSequences(["ab"])
    #expect(stops.append("xa") == "x")
    #expect(stops.append("a") == "a")
    #expect(stops.append("c") == "ac")
    #expect(stops.append("a") == "")
    #expect(stops.finish() == "a")
  }
}
