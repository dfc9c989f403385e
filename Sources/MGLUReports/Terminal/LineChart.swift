/// Curves in a terminal: one mark for each series, the vertical axis labeled at both ends.
public struct LineChart: Sendable {
  /// A curve.
  public struct Series: Sendable {
    let name: String
    let points: [(x: Double, y: Double)]

    /// A curve through `points`; those that are not finite are left out.
    public init(_ name: String, _ points: [(x: Double, y: Double)]) {
      self.name = name
      self.points = points.filter { $0.x.isFinite && $0.y.isFinite }.sorted { $0.x < $1.x }
    }
  }

  private static let marks: [Character] = ["●", "○", "▲", "△", "■", "□"]
  private let title: String
  private let series: [Series]

  /// A chart of `series` under a title that names the vertical axis.
  public init(_ title: String, _ series: [Series]) {
    self.title = title
    self.series = series
  }

  /// The lines of the drawing: title, `height` rows, the horizontal axis, and the legend.
  public func lines(width: Int = 80, height: Int = 12) -> [String] {
    let points = series.flatMap(\.points)
    guard let left = points.map(\.x).min(), let right = points.map(\.x).max(),
      let bottom = points.map(\.y).min(), let top = points.map(\.y).max()
    else { return [title, "(no points)"] }
    let labels = (NumberFormat.fixed(top, 3), NumberFormat.fixed(bottom, 3))
    let margin = max(labels.0.count, labels.1.count)
    let columns = max(8, width - margin - 2)
    let rows = max(2, height)
    var canvas = [[Character]](
      repeating: [Character](repeating: " ", count: columns), count: rows)
    func column(_ x: Double) -> Int {
      right > left ? Int(((x - left) / (right - left) * Double(columns - 1)).rounded()) : 0
    }
    func row(_ y: Double) -> Int {
      top > bottom ? Int(((top - y) / (top - bottom) * Double(rows - 1)).rounded()) : rows / 2
    }
    for (index, series) in series.enumerated() {
      for (a, b) in zip(series.points, series.points.dropFirst()) {
        for x in column(a.x)...column(b.x) where column(b.x) > column(a.x) {
          let share = Double(x - column(a.x)) / Double(column(b.x) - column(a.x))
          let y = row(a.y + (b.y - a.y) * share)
          if canvas[y][x] == " " { canvas[y][x] = "·" }
        }
      }
      let mark = Self.marks[index % Self.marks.count]
      for point in series.points { canvas[row(point.y)][column(point.x)] = mark }
    }
    func pad(_ label: String) -> String {
      String(repeating: " ", count: max(0, margin - label.count)) + label
    }
    let body = canvas.enumerated().map { index, cells in
      pad(index == 0 ? labels.0 : index == rows - 1 ? labels.1 : "") + " │" + String(cells)
    }
    let (first, last) = (NumberFormat.fixed(left, 0), NumberFormat.fixed(right, 0))
    let gap = String(repeating: " ", count: max(1, columns - first.count - last.count))
    let legend = series.enumerated().map { index, series in
      "\(Self.marks[index % Self.marks.count]) \(series.name)"
    }
    return [title] + body
      + [
        pad("") + " └" + String(repeating: "─", count: columns),
        pad("") + "  " + first + gap + last,
      ]
      + [pad("") + "  " + legend.joined(separator: "   ")]
  }
}
