/// Text in columns, as wide as what they hold.
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
  public var lines: [String] {
    let all = [columns.map(\.title)] + rows
    let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      let cells = columns.indices.map { index in
        let space = String(repeating: " ", count: widths[index] - row[index].count)
        return columns[index].alignment == .left ? row[index] + space : space + row[index]
      }
      let line = cells.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }
}
