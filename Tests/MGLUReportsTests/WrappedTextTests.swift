import MGLUReports
import Testing

@Suite struct WrappedTextTests {
  @Test func linesKeepTheWidthUnlessAWordIsLonger() {
    #expect(
      WrappedText.lines("one two  three\nfour", indent: 2, width: 9) == [
        "  one two", "  three", "  four",
      ])
    #expect(WrappedText.lines("a longerword b", width: 4) == ["a", "longerword", "b"])
    #expect(WrappedText.lines("").isEmpty)
  }
}
