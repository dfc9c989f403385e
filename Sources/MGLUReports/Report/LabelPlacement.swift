/// A place in a drawing, y downwards.
struct Point: Equatable {
  let x: Double
  let y: Double
}

/// A rectangle in a drawing.
struct Box: Equatable {
  let left: Double
  let top: Double
  let right: Double
  let bottom: Double

  /// A box from its edges.
  init(left: Double, top: Double, right: Double, bottom: Double) {
    (self.left, self.top, self.right, self.bottom) = (left, top, right, bottom)
  }

  /// A box with its middle at `middle`.
  init(around middle: Point, width: Double, height: Double) {
    self.init(
      left: middle.x - width / 2, top: middle.y - height / 2, right: middle.x + width / 2,
      bottom: middle.y + height / 2)
  }

  var width: Double { right - left }
  var height: Double { bottom - top }
  var middle: Point { Point(x: (left + right) / 2, y: (top + bottom) / 2) }

  /// Whether the boxes have more than an edge in common.
  func overlaps(_ other: Box) -> Bool {
    left < other.right && other.left < right && top < other.bottom && other.top < bottom
  }

  /// Whether all of `other` is within.
  func holds(_ other: Box) -> Bool {
    left <= other.left && top <= other.top && right >= other.right && bottom >= other.bottom
  }

  /// The point of the box nearest to `point`.
  func nearest(to point: Point) -> Point {
    Point(x: min(right, max(left, point.x)), y: min(bottom, max(top, point.y)))
  }
}

/// Finds places for names beside points: the nearest one that nothing has taken, with a line to the point
/// where that is not right beside it.
struct LabelPlacement {
  /// Where names may stand.
  let area: Box
  /// Marks and names: what neither names nor lines to them may cover.
  private var solid: [Box]
  /// Whiskers, which names alone may not cover.
  private let thin: [Box]
  /// Small boxes along the lines to names.
  private var lines: [Box] = []

  init(area: Box, solid: [Box], thin: [Box]) {
    self.area = area
    self.solid = solid
    self.thin = thin
  }

  /// The room of lines of text of 13 pixels, by letters of a wide font (DejaVu Sans).
  static func size(of lines: [String], lineHeight: Double) -> (width: Double, height: Double) {
    (7.8 * Double(lines.map(\.count).max() ?? 0), lineHeight * Double(lines.count))
  }

  /// Takes a place beside `point`: one that touches it, else the nearest to which a line crosses no other
  /// and nothing solid, else nothing solid, else the nearest.
  mutating func place(
    width: Double, height: Double, beside point: Point
  ) -> (box: Box, leader: Point?) {
    let beside = Self.beside(point, width: width, height: height)
    if let box = beside.first(where: { isFree($0) }) {
      solid.append(box)
      return (box, nil)
    }
    var boxes = grid(width: width, height: height).filter { isFree($0) }
    // Rather over a whisker than over a name.
    if boxes.isEmpty {
      boxes = grid(width: width, height: height).filter { isFree($0, ofThin: false) }
    }
    boxes.sort { Self.distance(point, $0) < Self.distance(point, $1) }
    func isClear(_ box: Box, of obstacles: [Box]) -> Bool {
      // A line begins in the point's own mark, or in those that lie upon it.
      !Self.line(from: point, to: box.nearest(to: point)).dropFirst(3).contains { dot in
        obstacles.contains { $0.overlaps(dot) }
      }
    }
    guard
      let box = boxes.first(where: { isClear($0, of: solid + lines) })
        ?? boxes.first(where: { isClear($0, of: solid) }) ?? boxes.first
    else { return (beside[0], nil) }
    let end = box.nearest(to: point)
    solid.append(box)
    lines += Self.line(from: point, to: end).dropFirst(3)
    return (box, end)
  }

  private func isFree(_ box: Box, ofThin: Bool = true) -> Bool {
    area.holds(box) && ![solid, ofThin ? thin : [], lines].joined().contains { $0.overlaps(box) }
  }

  private func grid(width: Double, height: Double) -> [Box] {
    stride(from: area.top, through: area.bottom - height, by: 5).flatMap { top in
      stride(from: area.left, through: area.right - width, by: 6).map { left in
        Box(left: left, top: top, right: left + width, bottom: top + height)
      }
    }
  }

  /// The places right beside a point, the best first: right, left, above, below, and between these.
  private static func beside(_ point: Point, width: Double, height: Double) -> [Box] {
    let distance = 8.0
    return [(1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)].map { x, y in
      // In a corner a name comes nearer, over the corner of the mark.
      let share = x != 0 && y != 0 ? 0.75 : 1
      return Box(
        around: Point(
          x: point.x + x * (share * distance + width / 2),
          y: point.y + y * (share * distance + height / 2)), width: width, height: height)
    }
  }

  private static func distance(_ point: Point, _ box: Box) -> Double {
    let end = box.nearest(to: point)
    return (end.x - point.x) * (end.x - point.x) + (end.y - point.y) * (end.y - point.y)
  }

  /// Small boxes along a line.
  private static func line(from: Point, to: Point) -> [Box] {
    let length = max((to.x - from.x).magnitude, (to.y - from.y).magnitude)
    let count = max(1, Int(length / 3))
    return (0..<count).map { index in
      let share = Double(index) / Double(count)
      return Box(
        around: Point(
          x: from.x + share * (to.x - from.x), y: from.y + share * (to.y - from.y)),
        width: 3, height: 3)
    }
  }
}
