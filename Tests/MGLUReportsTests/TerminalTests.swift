import MGLUReports
import Testing

@Suite struct TerminalTests {
  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (12_345, "12,345"),
  ])
  func thousandsAreGrouped(value: Int, text: String) {
    #expect(NumberFormat.grouped(value) == text)
  }

  @Test(arguments: [
    (1.005, 1, "1.0"), (0.999, 2, "1.00"), (-0.001, 2, "0.00"), (-1.5, 0, "-2"), (0.05, 2, "0.05"),
    (.nan, 2, "nan"), (.infinity, 2, "inf"), (1e300, 1, "1e+300"),
  ])
  func decimalsAreRoundedToTheNearest(value: Double, digits: Int, text: String) {
    #expect(NumberFormat.fixed(value, digits) == text)
  }

  @Test(arguments: [
    (1e-3, "1.0e-3"), (9.99e-4, "1.0e-3"), (9.4e-4, "9.4e-4"), (0, "0.0"), (-25, "-2.5e1"),
  ])
  func ratesHaveTwoDigits(value: Double, text: String) {
    #expect(NumberFormat.scientific(value) == text)
  }

  @Test(arguments: [(0, "0:00"), (59.6, "1:00"), (3723, "1:02:03"), (.nan, "--:--")])
  func durationsReadAsAClock(seconds: Double, text: String) {
    #expect(NumberFormat.clock(seconds: seconds) == text)
  }

  @Test(arguments: [
    (0, "    "), (0.5, "██  "), (1, "████"), (2, "████"), (-1, "    "), (.nan, "    "),
    (0.25 + 0.03125, "█▏  "),
  ])
  func barsAreAsWideAsAsked(share: Double, text: String) {
    #expect(ShareBar.bar(share, width: 4) == text)
  }

  /// Two runs of 30 steps of which 40 are done, 10 of them in an earlier process.
  @Test func whatIsLeftTakesAsLongAsWhatWas() {
    var pace = Pace()
    #expect(pace.seconds(for: 30, after: 2) == 60)
    pace.begin(at: 10)
    for step in 11...30 { pace.reach(step) }
    pace.begin(at: 0)
    for step in 1...10 { pace.reach(step) }
    #expect(pace.seconds(for: 20, after: 90) == 60)
  }

  @Test func columnsAlignAndLinesEndWithoutSpaces() {
    var table = Table([.init("name"), .init("count", .right), .init("note")])
    table.append(["a", "1"])
    table.append(["longer", "1,000", "x", "too many"])
    #expect(
      table.lines == [
        "name    count  note", "a           1", "longer  1,000  x",
      ])
  }

  /// What does not fit follows below, with the first column again; a column alone may be too wide.
  @Test func wideTablesFold() {
    var table = Table([.init("name"), .init("count", .right), .init("note"), .init("more", .right)])
    table.append(["longer", "1,000", "x", "12"])
    #expect(
      table.lines(width: 14) == [
        "name    count", "longer  1,000", "", "name    note", "longer  x", "", "name    more",
        "longer    12",
      ])
    #expect(table.lines(width: 25) == table.lines && table.lines.allSatisfy { $0.count <= 25 })
    #expect(table.lines(width: 24).count == 5)
    #expect(table.lines(width: 1).count == 8)
  }

  @Test(arguments: [20, 40, 80])
  func chartsFitTheirWidthAndShowEveryCurve(width: Int) {
    let lines = LineChart(
      "loss",
      [
        .init("one", [(0, 5), (10, 3), (20, 2)]), .init("two", [(0, 4), (20, 1), (30, .nan)]),
      ]
    ).lines(width: width, height: 6)
    #expect(lines.count == 10)
    #expect(lines.allSatisfy { $0.count <= width })
    let drawing = lines[1...6].joined()
    #expect(drawing.filter { $0 == "●" }.count == 3 && drawing.filter { $0 == "○" }.count == 2)
    #expect(lines[1].hasPrefix("5.000 │●") && lines[6].hasPrefix("1.000 │"))
    #expect(lines[6].hasSuffix("○") && lines[9].contains("● one   ○ two"))
  }

  @Test func chartsOfNothingOrOnePointAreDrawnToo() {
    #expect(LineChart("loss", []).lines() == ["loss", "(no points)"])
    #expect(LineChart("loss", [.init("one", [(3, 2)])]).lines().joined().contains("●"))
  }
}
