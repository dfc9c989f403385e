/// Horizontal bars with their standard deviations, as SVG that scales with the page.
struct BarPlot {
  /// A bar in one of the page's colors.
  struct Bar {
    let title: String
    let color: Int
    let value: Double?
    let deviation: Double?
  }

  let title: String
  let bars: [Bar]

  private static let width = 400.0
  private static let rowHeight = 40.0

  /// The drawing. The axis does not begin at zero: the differences matter.
  var svg: String {
    let ends = bars.flatMap { bar in
      bar.value.map { [$0 - (bar.deviation ?? 0), $0 + (bar.deviation ?? 0)] } ?? []
    }
    let low = ends.min() ?? 0
    let axis = Axis([low - ((ends.max() ?? 1) - low) * 0.25] + ends, ticks: 3)
    let (left, right, top) = (16.0, Self.width - 72, 34.0)
    let bottom = top + Self.rowHeight * Double(bars.count)
    func column(_ value: Double) -> Double { left + axis.place(value) * (right - left) }
    var parts = [SVG.label(title, x: left, y: 18, class: "title")]
    for tick in axis.ticks {
      parts.append(SVG.line(column(tick), top, column(tick), bottom, class: "grid"))
      parts.append(SVG.label(axis.label(tick), x: column(tick), y: bottom + 16, anchor: "middle"))
    }
    for (index, bar) in bars.enumerated() {
      let y = top + Self.rowHeight * Double(index)
      parts.append(SVG.label(bar.title, x: left, y: y + 13))
      guard let value = bar.value else {
        parts.append(SVG.label("diverged", x: right + 6, y: y + 30))
        continue
      }
      parts.append(
        SVG.element(
          "rect",
          [
            "x": SVG.number(left), "y": SVG.number(y + 18),
            "width": SVG.number(column(value) - left), "height": "16",
            "class": "bar s\(bar.color)",
          ]))
      if let deviation = bar.deviation {
        let (from, to) = (column(value - deviation), column(value + deviation))
        parts.append(SVG.line(from, y + 26, to, y + 26, class: "whisker"))
        for end in [from, to] { parts.append(SVG.line(end, y + 21, end, y + 31, class: "whisker")) }
      }
      parts.append(SVG.label(NumberFormat.fixed(value, 4), x: right + 14, y: y + 30))
    }
    return SVG.element(
      "svg",
      [
        "viewBox": "0 0 \(SVG.number(Self.width)) \(SVG.number(bottom + 26))", "role": "img",
        "aria-label": title,
      ], parts.joined(separator: "\n"))
  }
}
