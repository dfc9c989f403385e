import MGLUTraining

/// The table of a comparison, as cells: for the terminal, Markdown and HTML alike.
package struct ComparisonTable {
  package struct Cell: Sendable {
    let title: String
    let isNumber: Bool
  }

  let columns: [Cell]
  let rows: [[String]]

  init(columns: [Cell], rows: [[String]]) {
    self.columns = columns
    self.rows = rows
  }

  /// The table of `results`; the learning rate has a column where there are several.
  package init(_ results: ComparisonResults) {
    let rates = Set(results.summaries.map(\.learningRate)).count > 1
    let masks = results.summaries.contains { $0.maskBits > 0 }
    let spikes = results.summaries.contains { $0.spikedRuns + $0.divergedRuns > 0 }
    let first = results.summaries.first.map { UnitSpecification.title(of: $0.unit) } ?? ""
    var columns: [Cell] = [.init(title: "unit", isNumber: false)]
    func number(_ title: String) { columns.append(.init(title: title, isNumber: true)) }
    if rates { number("rate") }
    number("parameters")
    if masks { number("mask bits") }
    number("MiB")
    number("validation loss")
    number("perplexity")
    number("to \(first)")
    number(results.mixesProcesses ? "train tok/s of a process" : "train tok/s")
    number("decode tok/s")
    if spikes { columns.append(.init(title: "runs", isNumber: false)) }
    self.columns = columns
    rows = results.summaries.map { row in
      let speed = results.speed(of: row)
      var cells = [UnitSpecification.title(of: row.unit)]
      if rates { cells.append(NumberFormat.scientific(row.learningRate)) }
      cells.append(NumberFormat.grouped(row.parameters))
      if masks { cells.append(NumberFormat.grouped(row.maskBits)) }
      cells.append(NumberFormat.fixed(row.mebibytes, 2))
      cells.append(Self.estimate(row.validationLoss, row.validationLossDeviation))
      cells.append(row.perplexity.map { NumberFormat.fixed($0, 3) } ?? "-")
      cells.append(Self.difference(row.difference, row.differenceDeviation))
      for value in [speed.training, speed.decode] {
        cells.append(value.map { NumberFormat.grouped($0) } ?? "-")
      }
      if spikes { cells.append(Self.marks(row)) }
      return cells
    }
  }

  /// The table for a terminal.
  package var table: Table {
    var table = Table(columns.map { .init($0.title, $0.isNumber ? .right : .left) })
    for row in rows { table.append(row) }
    return table
  }

  /// Mean and standard deviation.
  static func estimate(_ mean: Double?, _ deviation: Double?) -> String {
    guard let mean else { return "-" }
    let figure = NumberFormat.fixed(mean, 4)
    return deviation.map { "\(figure) ± \(NumberFormat.fixed($0, 4))" } ?? figure
  }

  static func difference(_ mean: Double?, _ deviation: Double?) -> String {
    guard let mean else { return "" }
    return (mean > 0 ? "+" : "") + estimate(mean, deviation)
  }

  private static func marks(_ row: ComparisonResults.Summary) -> String {
    var marks: [String] = []
    if row.spikedRuns > 0 { marks.append("\(row.spikedRuns) spiked") }
    if row.divergedRuns > 0 { marks.append("\(row.divergedRuns) diverged") }
    return marks.joined(separator: ", ")
  }
}
