internal import CMGLUResources
import MGLUTraining

extension ComparisonReport {
  /// The report as one page that needs neither a network nor a script.
  var html: String {
    let legend = self.legend.map {
      "<li><svg viewBox=\"0 0 24 8\">"
        + SVG.line(1, 4, 23, 4, class: "curve \($0.style)")
        + "</svg>\(SVG.escape($0.title))</li>"
    }.joined(separator: "\n")
    func figures(_ plots: [String]) -> String {
      plots.map { "<figure>\($0)</figure>" }.joined(separator: "\n")
    }
    func paragraphs(_ notes: [String]) -> String {
      notes.map { "<p class=\"note\">\(SVG.escape($0))</p>" }.joined(separator: "\n")
    }
    let paper =
      (paperTable.map {
        "<div class=\"table\" tabindex=\"0\">\n<table>\n\(Self.rows(of: $0))\n</table>\n</div>\n"
      } ?? "") + paragraphs(paperNotes)
    let costs = costPlots.map { $0.svg() }
    return Self.page([
      "style": String(cString: cmglu_drawing_style()), "title": SVG.escape(title),
      "conditions": SVG.escape(conditions), "rows": Self.rows(of: table),
      "notes": paragraphs(notes), "paper": paper,
      "costs": costs.isEmpty
        ? "" : "<div class=\"plots\">\n\(figures(costs))\n</div>\n" + paragraphs([Self.costNote]),
      "legend": legend, "plots": figures(plots),
    ])
  }

  /// The embedded page with `parts` in the places that it names, such as `{{title}}`. One pass: what
  /// stands in a part names no place.
  private static func page(_ parts: [String: String]) -> String {
    let pieces = String(cString: cmglu_comparison_page()).split(
      separator: "{{", omittingEmptySubsequences: false)
    return pieces.dropFirst().reduce(into: String(pieces[0])) { page, piece in
      let halves = piece.split(separator: "}}", maxSplits: 1, omittingEmptySubsequences: false)
      guard let part = parts[String(halves[0])] else { preconditionFailure("no part \(halves[0])") }
      page += part + halves[1]
    }
  }

  private static func rows(of table: ComparisonTable) -> String {
    func row(_ cells: [String], _ tag: String, _ title: (String) -> String) -> String {
      let cells = zip(cells, table.columns).map { cell, column in
        "<\(tag)\(title(column.title))\(column.isNumber ? " class=\"number\"" : "")>"
          + "\(SVG.escape(cell))</\(tag)>"
      }
      return "<tr>\(cells.joined())</tr>"
    }
    // Where a page is narrow the title stands beside the figure.
    let body = table.rows.map { row($0, "td") { " data-title=\"\(SVG.escape($0))\"" } }
    let head = row(table.columns.map(\.title), "th") { _ in "" }
    return "<thead>\(head)</thead>\n<tbody>\n\(body.joined(separator: "\n"))\n</tbody>"
  }
}
