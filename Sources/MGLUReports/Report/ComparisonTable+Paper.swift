import MGLUTraining

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension ComparisonTable {
  /// The figures of `paper` beside ours: perplexities, losses over that of the first unit that both have,
  /// places, and times of training. `nil` where the paper has no perplexity of a unit.
  ///
  /// - Parameters:
  ///   - paper: The paper's figures.
  ///   - results: Ours, each unit at the learning rate of its lowest loss.
  package init?(_ paper: ComparisonRecipe.Paper, beside results: ComparisonResults) {
    let comparison = PaperComparison(paper, results)
    guard let first = comparison.units.first else { return nil }
    let several = comparison.units.count > 1
    let hasTimes = several && comparison.units.contains { $0.hours != nil && $0.seconds != nil }
    var columns: [Cell] = [.init(title: "unit", isNumber: false)]
    func number(_ title: String) { columns.append(.init(title: title, isNumber: true)) }
    number("perplexity")
    number("paper's perplexity")
    if several {
      let title = UnitSpecification.title(of: first.row.unit)
      number("loss to \(title)")
      number("paper's loss to \(title)")
      number("place")
      number("paper's place")
      if hasTimes {
        number("time of training to \(title)")
        number("paper's")
      }
    }
    let rows = comparison.units.map { unit -> [String] in
      var cells = [
        UnitSpecification.title(of: unit.row.unit),
        unit.row.perplexity.map { NumberFormat.fixed($0, 3) } ?? "-",
        NumberFormat.fixed(unit.perplexity, 1),
      ]
      guard several else { return cells }
      if unit.row == first.row {
        cells += ["", ""]
      } else {
        let own = results.difference(of: unit.row, to: first.row)
        cells += [
          Self.difference(own?.mean, own?.deviation),
          // The paper has three digits, a thousandth in a difference.
          Self.signed(log(unit.perplexity / first.perplexity), 3),
        ]
      }
      cells += ["\(comparison.place(of: unit))", "\(comparison.placeInPaper(of: unit))"]
      if hasTimes {
        cells += [
          Self.ratio(unit.seconds, first.seconds), Self.ratio(unit.hours, first.hours),
        ]
      }
      return cells
    }
    self.init(columns: columns, rows: rows)
  }

  static func signed(_ value: Double, _ digits: Int) -> String {
    (value > 0 ? "+" : "") + NumberFormat.fixed(value, digits)
  }

  private static func ratio(_ value: Double?, _ first: Double?) -> String {
    guard let value, let first else { return "" }
    return NumberFormat.fixed(value / first, 2)
  }
}
