/// Points over two axes, each with its name beside it and the standard deviations of its values, as SVG
/// that scales with the page.
struct ScatterPlot {
  /// A value with its standard deviation, where several were measured.
  struct Estimate: Equatable {
    let value: Double
    let deviation: Double?

    /// `nil` where the value, or its spread, is beyond what a drawing can show.
    init?(_ value: Double, deviation: Double? = nil) {
      guard value.magnitude < 1e100, (deviation ?? 0) < 1e100 else { return nil }
      self.value = value
      self.deviation = deviation
    }

    /// The ends of the whisker, or the value.
    var ends: [Double] { deviation.map { [value - $0, value + $0] } ?? [value] }
  }

  /// A point in one of the page's colors.
  struct Mark {
    let title: String
    let color: Int
    let isHollow: Bool
    let x: Estimate
    let y: Estimate
    /// Its values in words.
    let description: String
  }

  /// A word for the file and for references within a page.
  let name: String
  let title: String
  let xLabel: String
  let yLabel: String
  /// What stands at the right of the ticks of y, and what it is called.
  var yNames: (label: String, names: ([Double]) -> [String]?)?
  let marks: [Mark]

  private static let width = 400.0
  private static let lineHeight = 15.0
  private static let half = 5.0

  /// The name of its file.
  var file: String { name + ".svg" }

  /// The lines of each mark's name, narrower than half of the drawing.
  private var names: [[String]] { marks.map { WrappedText.lines($0.title, width: 18) } }

  /// So high that the names have room.
  private var height: Double {
    let lines = names.reduce(0) { $0 + $1.count }
    return max(300, 120 + Self.lineHeight * 1.5 * Double(lines))
  }

  /// The drawing; with `style` it brings the page's colors, as a file of its own must.
  func svg(style: String? = nil) -> String {
    let height = self.height
    let description = marks.map(\.description).joined(separator: "; ")
    var parts = [
      SVG.element("title", ["id": "\(name)-title"], SVG.escape("\(title): \(yLabel) by \(xLabel)")),
      SVG.element("desc", ["id": "\(name)-description"], SVG.escape(description)),
    ]
    if let style {
      parts.append(SVG.element("style", [:], style))
      parts.append(
        SVG.element(
          "rect",
          ["width": SVG.number(Self.width), "height": SVG.number(height), "class": "background"]))
    }
    parts += drawing(height: height)
    return SVG.element(
      "svg",
      [
        "xmlns": "http://www.w3.org/2000/svg",
        "width": SVG.number(Self.width), "height": SVG.number(height),
        "viewBox": "0 0 \(SVG.number(Self.width)) \(SVG.number(height))", "role": "img",
        "aria-labelledby": "\(name)-title \(name)-description",
      ], parts.joined(separator: "\n"))
  }

  private func drawing(height: Double) -> [String] {
    let area = Box(left: 52, top: 46, right: yNames == nil ? 384 : 348, bottom: height - 46)
    let x = Self.axis(marks.flatMap(\.x.ends))
    let y = Self.axis(marks.flatMap(\.y.ends))
    func column(_ value: Double) -> Double { area.left + x.place(value) * area.width }
    func row(_ value: Double) -> Double { area.bottom - y.place(value) * area.height }
    var parts = [
      SVG.label(title, x: 8, y: 18, class: "title"), SVG.label(yLabel, x: 8, y: 36),
      SVG.label(xLabel, x: area.middle.x, y: height - 8, anchor: "middle"),
    ]
    let right = yNames?.names(y.ticks)
    if let yNames, right != nil {
      parts.append(SVG.label(yNames.label, x: Self.width - 8, y: 36, anchor: "end"))
    }
    for (index, tick) in y.ticks.enumerated() {
      parts.append(SVG.line(area.left, row(tick), area.right, row(tick), class: "grid"))
      parts.append(SVG.label(y.label(tick), x: area.left - 6, y: row(tick) + 4, anchor: "end"))
      if let right { parts.append(SVG.label(right[index], x: area.right + 6, y: row(tick) + 4)) }
    }
    for tick in x.ticks {
      parts.append(
        SVG.line(column(tick), area.bottom, column(tick), area.bottom + 4, class: "grid"))
      parts.append(
        SVG.label(x.label(tick), x: column(tick), y: area.bottom + 18, anchor: "middle"))
    }

    let places = marks.map { Point(x: column($0.x.value), y: row($0.y.value)) }
    let solid = places.map {
      Box(around: $0, width: 2 * Self.half + 2, height: 2 * Self.half + 2)
    }
    var thin: [Box] = []
    for (mark, place) in zip(marks, places) {
      if mark.x.deviation != nil {
        let ends = mark.x.ends.map(column)
        thin.append(Box(left: ends[0], top: place.y - 4, right: ends[1], bottom: place.y + 4))
        parts += Self.whisker(Point(x: ends[0], y: place.y), Point(x: ends[1], y: place.y))
      }
      if mark.y.deviation != nil {
        let ends = mark.y.ends.map(row)
        thin.append(Box(left: place.x - 4, top: ends[1], right: place.x + 4, bottom: ends[0]))
        parts += Self.whisker(Point(x: place.x, y: ends[1]), Point(x: place.x, y: ends[0]))
      }
    }
    var labels = LabelPlacement(area: area, solid: solid, thin: thin)
    var dots: [String] = []
    for (mark, (place, lines)) in zip(marks, zip(places, names)) {
      let size = LabelPlacement.size(of: lines, lineHeight: Self.lineHeight)
      let label = labels.place(width: size.width, height: size.height, beside: place)
      if let end = label.leader {
        parts.append(SVG.line(place.x, place.y, end.x, end.y, class: "leader s\(mark.color)"))
      }
      // The font may be narrower than the room: the text is at the side of its point.
      let isLeft = label.box.middle.x < place.x
      for (index, line) in lines.enumerated() {
        parts.append(
          SVG.label(
            line, x: isLeft ? label.box.right : label.box.left,
            y: label.box.top + Self.lineHeight * Double(index + 1) - 4,
            anchor: isLeft ? "end" : "start", class: "label name"))
      }
      let dot = SVG.element(
        "rect",
        [
          "x": SVG.number(place.x - Self.half), "y": SVG.number(place.y - Self.half),
          "width": SVG.number(2 * Self.half), "height": SVG.number(2 * Self.half),
          "class": "\(mark.isHollow ? "mark" : "dot") s\(mark.color)",
        ])
      dots.append(
        SVG.element("g", [:], SVG.element("title", [:], SVG.escape(mark.description)) + dot))
    }
    return parts + dots
  }

  /// A straight line with a cap at each end.
  private static func whisker(_ from: Point, _ to: Point) -> [String] {
    let cap = from.x == to.x ? Point(x: half, y: 0) : Point(x: 0, y: half)
    return [SVG.line(from.x, from.y, to.x, to.y, class: "whisker")]
      + [from, to].map {
        SVG.line($0.x - cap.x, $0.y - cap.y, $0.x + cap.x, $0.y + cap.y, class: "whisker")
      }
  }

  /// An axis with some room on both sides, but none below zero where no value is.
  private static func axis(_ ends: [Double]) -> Axis {
    let (low, high) = (ends.min() ?? 0, ends.max() ?? 1)
    let room = high > low ? (high - low) * 0.12 : max(1e-3, low.magnitude * 0.05)
    return Axis(within: (low < 0 ? low - room : max(0, low - room))...(high + room))
  }
}
