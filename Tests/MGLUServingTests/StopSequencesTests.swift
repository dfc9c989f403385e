import MGLUServing
import Testing

@Suite struct StopSequencesTests {
  /// The text ends before the first stop sequence, however it is cut.
  @Test(arguments: 1...7)
  func stopSequencesAreFoundAcrossCuts(length: Int) {
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
      #expect(stops.isFound == (expected != text))
    }
  }

  @Test func onlyPrefixesOfStopSequencesAreHeldBack() {
    var stops = StopSequences(["ab"])
    #expect(stops.append("xa") == "x")
    #expect(stops.append("a") == "a")
    #expect(stops.append("c") == "ac")
    #expect(stops.append("a") == "")
    #expect(stops.finish() == "a")
  }
}
