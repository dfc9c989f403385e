/// A table in columns that fit their widest cell.
public struct Table: Sendable {
  /// How a column stands.
  public enum Alignment: Sendable { case left, right }

  /// A column's title and alignment.
  public struct Column: Sendable {
    let title: String
    let alignment: Alignment

    /// A column.
    public init(_ title: String, _ alignment: Alignment = .left) {
      self.title = title
      self.alignment = alignment
    }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  /// A table without rows.
  public init(_ columns: [Column]) { self.columns = columns }

  /// Adds a row; missing cells are empty, those too many are left out.
  public mutating func append(_ cells: [String]) {
    let missing = repeatElement("", count: max(0, columns.count - cells.count))
    rows.append(Array((cells + missing).prefix(columns.count)))
  }

  /// The lines, titles first, two spaces between columns, none at the end.
  public var lines: [String] { lines(width: .max) }

  /// The lines, none longer than `width` where that can be: columns that do not fit follow below,
  /// after a blank line and the first column again.
  public func lines(width: Int) -> [String] {
    let all = [columns.map(\.title)] + rows
    let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    func line(_ row: [String], _ shown: [Int]) -> String {
      let cells = shown.map { index in
        let space = String(repeating: " ", count: widths[index] - row[index].count)
        return columns[index].alignment == .left ? row[index] + space : space + row[index]
      }
      return String(cells.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
    }
    var parts: [[Int]] = [[]]
    var length = 0
    for column in columns.indices {
      if length + 2 + widths[column] > width, parts[parts.count - 1].count > 1 {
        parts.append([0])
        length = widths[0]
      }
      length += widths[column] + (parts[parts.count - 1].isEmpty ? 0 : 2)
      parts[parts.count - 1].append(column)
    }
    let blocks = parts.map { shown in all.map { line($0, shown) } }
    return Array(blocks.joined(separator: [""]))
  }
}
