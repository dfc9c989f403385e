/// Means with their standard deviations on one axis, as SVG that scales with the page. Their places matter
/// and the axis need not begin at zero, so they are no bars.
struct DotPlot {
  /// A mean in one of the page's colors.
  struct Mark {
    let title: String
    let color: Int
    let value: Double?
    let deviation: Double?
  }

  let title: String
  let marks: [Mark]

  private static let width = 400.0
  private static let rowHeight = 40.0

  /// The drawing.
  var svg: String {
    let ends = marks.flatMap { mark in
      mark.value.map { [$0 - (mark.deviation ?? 0), $0 + (mark.deviation ?? 0)] } ?? []
    }
    let low = ends.min() ?? 0
    let axis = Axis([low - ((ends.max() ?? 1) - low) * 0.25] + ends, ticks: 3)
    let (left, right, top) = (16.0, Self.width - 72, 34.0)
    let bottom = top + Self.rowHeight * Double(marks.count)
    func column(_ value: Double) -> Double { left + axis.place(value) * (right - left) }
    var parts = [SVG.label(title, x: left, y: 18, class: "title")]
    for tick in axis.ticks {
      parts.append(SVG.line(column(tick), top, column(tick), bottom, class: "grid"))
      parts.append(SVG.label(axis.label(tick), x: column(tick), y: bottom + 16, anchor: "middle"))
    }
    for (index, mark) in marks.enumerated() {
      let y = top + Self.rowHeight * Double(index)
      parts.append(SVG.label(mark.title, x: left, y: y + 13))
      guard let value = mark.value else {
        parts.append(SVG.label("diverged", x: right + 6, y: y + 30))
        continue
      }
      parts.append(
        SVG.element(
          "rect",
          [
            "x": SVG.number(column(value) - 5), "y": SVG.number(y + 21), "width": "10",
            "height": "10", "class": "dot s\(mark.color)",
          ]))
      if let deviation = mark.deviation {
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
