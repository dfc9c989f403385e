import MGLUTraining

extension ComparisonReport {
  /// The report as one page that needs neither a network nor a script.
  var html: String {
    let legend = self.legend.map {
      "<li><svg viewBox=\"0 0 24 8\">"
        + SVG.line(1, 4, 23, 4, class: "curve \($0.style)")
        + "</svg>\(SVG.escape($0.title))</li>"
    }.joined(separator: "\n")
    let plots = self.plots.map { "<figure>\($0)</figure>" }.joined(separator: "\n")
    let notes = self.notes.map { "<p class=\"note\">\(SVG.escape($0))</p>" }.joined(separator: "\n")
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <link rel="icon" href="data:,">
      <title>\(SVG.escape(title))</title>
      <style>
      \(Self.style)
      </style>
      </head>
      <body>
      <main>
      <h1>\(SVG.escape(title))</h1>
      <p>\(SVG.escape(conditions)).</p>
      <div class="table" tabindex="0">
      <table>
      \(rows)
      </table>
      </div>
      \(notes)
      <ul class="legend">
      \(legend)
      </ul>
      <div class="plots">
      \(plots)
      </div>
      </main>
      </body>
      </html>

      """
  }

  private var rows: String {
    func row(_ cells: [String], _ tag: String) -> String {
      let cells = zip(cells, table.columns).map { cell, column in
        "<\(tag)\(column.isNumber ? " class=\"number\"" : "")>\(SVG.escape(cell))</\(tag)>"
      }
      return "<tr>\(cells.joined())</tr>"
    }
    let body = table.rows.map { row($0, "td") }.joined(separator: "\n")
    return "<thead>\(row(table.columns.map(\.title), "th"))</thead>\n<tbody>\n\(body)\n</tbody>"
  }

  /// Light and dark as the reader's system says.
  private static let style = """
    :root { color-scheme: light dark; --paper: #fff; --ink: #1c1e21; --faint: #5c636b;
      --rule: #d9dde1; --c0: #1f6fb4; --c1: #c8501e; --c2: #2c8a3f; --c3: #8b4bb8; --c4: #a8780a;
      --c5: #0b8a91; --c6: #c22f6f; --c7: #5f6b76; }
    @media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e6e8ea;
      --faint: #a3abb3; --rule: #353b41; --c0: #66aee8; --c1: #f08a5c; --c2: #6cc77d; --c3: #c08be6;
      --c4: #dcb04a; --c5: #4fc4cb; --c6: #f07aab; --c7: #aab4be; } }
    body { margin: 0; background: var(--paper); color: var(--ink);
      font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
    main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 48px; }
    h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.5em 0; }
    .note { color: var(--faint); font-size: 0.875rem; max-width: 75ch; margin: 0.5em 0; }
    .table { overflow-x: auto; margin: 1em 0; }
    table { border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
    th, td { padding: 5px 12px 5px 0; text-align: left; white-space: nowrap;
      border-bottom: 1px solid var(--rule); }
    th { color: var(--faint); font-weight: 600; }
    td:first-child, th:first-child { position: sticky; left: 0; background: var(--paper); }
    .number { text-align: right; }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0;
      font-size: 0.875rem; margin: 1.5em 0 0.5em; }
    .legend svg { width: 24px; height: 8px; margin-right: 6px; vertical-align: middle; }
    .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr));
      gap: 20px 28px; align-items: start; }
    figure { margin: 0; }
    figure svg { width: 100%; height: auto; }
    svg .label { font-size: 13px; fill: var(--faint); }
    svg .title { font-size: 14px; font-weight: 600; fill: var(--ink); }
    .grid { stroke: var(--rule); stroke-width: 1; }
    .curve { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
    .dashed { stroke-dasharray: 6 4; }
    .bar { fill: var(--c); }
    .mark { fill: none; stroke: var(--c); stroke-width: 2; }
    .whisker { stroke: var(--ink); stroke-width: 1.5; }
    \((0..<colours).map { ".s\($0) { --c: var(--c\($0)); }" }.joined(separator: "\n"))
    """
}
