/// Curves over two axes, as SVG that scales with the page.
struct LinePlot {
  /// A curve in one of the page's colors.
  struct Series {
    let color: Int
    let isDashed: Bool
    let points: [(x: Double, y: Double)]
    /// The places on the x axis that are marked.
    var marks: [Double] = []
  }

  let title: String
  let xLabel: String
  let yLabel: String
  let series: [Series]

  private static let width = 400.0
  private static let height = 300.0
  private static let plot = (left: 52.0, top: 34.0, right: 384.0, bottom: 254.0)

  /// The drawing.
  var svg: String {
    let points = series.flatMap(\.points)
    let x = Axis(whole: points.map(\.x))
    let y = Axis(points.map(\.y))
    let plot = Self.plot
    func column(_ value: Double) -> Double {
      plot.left + x.place(value) * (plot.right - plot.left)
    }
    func row(_ value: Double) -> Double {
      plot.bottom - y.place(value) * (plot.bottom - plot.top)
    }
    var parts = [
      SVG.label(title, x: plot.left, y: 18, class: "title"),
      SVG.label(xLabel, x: (plot.left + plot.right) / 2, y: Self.height - 8, anchor: "middle"),
    ]
    for tick in y.ticks {
      parts.append(SVG.line(plot.left, row(tick), plot.right, row(tick), class: "grid"))
      parts.append(SVG.label(y.label(tick), x: plot.left - 6, y: row(tick) + 4, anchor: "end"))
    }
    for tick in x.ticks {
      parts.append(
        SVG.label(x.label(tick), x: column(tick), y: plot.bottom + 18, anchor: "middle"))
    }
    for series in series {
      let path = series.points.map {
        "\(SVG.number(column($0.x))),\(SVG.number(row($0.y)))"
      }.joined(separator: " ")
      parts.append(
        SVG.element(
          "polyline",
          ["points": path, "class": "curve s\(series.color)\(series.isDashed ? " dashed" : "")"]))
      for mark in series.marks {
        guard let point = series.points.first(where: { $0.x >= mark }) else { continue }
        parts.append(
          SVG.element(
            "circle",
            [
              "cx": SVG.number(column(point.x)), "cy": SVG.number(row(point.y)), "r": "5",
              "class": "mark s\(series.color)",
            ]))
      }
    }
    return SVG.element(
      "svg",
      [
        "viewBox": "0 0 \(SVG.number(Self.width)) \(SVG.number(Self.height))", "role": "img",
        "aria-label": "\(title): \(yLabel)",
      ], parts.joined(separator: "\n"))
  }
}
