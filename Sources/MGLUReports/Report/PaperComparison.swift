import MGLUTraining

/// The units of a comparison for which the paper has a perplexity.
struct PaperComparison {
  struct Unit {
    let row: ComparisonResults.Summary
    let loss: Double
    /// Seconds of training of one process, or of several added up.
    let seconds: Double?
    /// The paper's perplexity.
    let perplexity: Double
    /// The paper's hours of training.
    let hours: Double?
  }

  /// Two units in the paper's order, and what the first one's loss is minus the other's here.
  struct Pair {
    let better: Unit
    let worse: Unit
    let difference: (mean: Double, deviation: Double?, seeds: Int)

    /// Whether the difference is more than twice its standard error.
    var isApart: Bool {
      guard let deviation = difference.deviation else { return false }
      return difference.mean.magnitude > 2 * deviation / Double(difference.seeds).squareRoot()
    }
  }

  let units: [Unit]
  let pairs: [Pair]

  init(_ paper: ComparisonRecipe.Paper, _ results: ComparisonResults) {
    let units = results.best.compactMap { row -> Unit? in
      guard let loss = row.validationLoss, let perplexity = paper.perplexity(of: row.unit) else {
        return nil
      }
      return Unit(
        row: row, loss: loss, seconds: results.trainingSeconds(of: row).lowerMedian,
        perplexity: perplexity, hours: paper.hours(of: row.unit))
    }
    self.units = units
    let ordered = units.sorted { $0.perplexity < $1.perplexity }
    pairs = ordered.indices.flatMap { index in
      ordered[(index + 1)...].compactMap { worse in
        let better = ordered[index]
        guard better.perplexity < worse.perplexity else { return nil }
        return results.difference(of: better.row, to: worse.row).map {
          Pair(better: better, worse: worse, difference: $0)
        }
      }
    }
  }

  /// How many units are better, and one.
  func place(of unit: Unit) -> Int { 1 + units.count { $0.loss < unit.loss } }

  /// The same in the paper.
  func placeInPaper(of unit: Unit) -> Int { 1 + units.count { $0.perplexity < unit.perplexity } }

  /// Which pairs of units have the paper's order, and what the seeds allow to say; `nil` without pairs.
  var finding: String? {
    guard !pairs.isEmpty else { return nil }
    let agreeing = pairs.filter { $0.difference.mean < 0 }
    let others = pairs.filter { $0.difference.mean >= 0 }
    let isSpread = pairs.contains { $0.difference.deviation != nil }
    func apart(_ pairs: [Pair]) -> String { "\(pairs.count(where: \.isApart))" }
    var text =
      "Of \(pairs.count) \(pairs.count == 1 ? "pair" : "pairs") of units \(agreeing.count) "
      + "\(agreeing.count == 1 ? "has" : "have") the paper's order"
    if isSpread {
      text += ", \(apart(agreeing)) of them by more than twice the standard error over seeds"
    } else {
      text += "; one seed tells nothing of the spread"
    }
    guard !others.isEmpty else { return text + "." }
    let list = others.map { pair in
      UnitSpecification.title(of: pair.better.row.unit) + " against "
        + UnitSpecification.title(of: pair.worse.row.unit) + " ("
        + ComparisonTable.difference(pair.difference.mean, pair.difference.deviation) + ")"
    }
    return text + ". Otherwise here"
      + (isSpread ? ", \(apart(others)) of them by as much: " : ": ")
      + list.joined(separator: "; ") + "."
  }
}

extension ComparisonReport {
  /// What the paper's figures are, and how far ours agree with them.
  var paperNotes: [String] {
    guard let paper else { return [] }
    let place = " (arXiv 2506.23225): \(paper.source); \(paper.scale)."
    let finding = paper.finding.map { " There, \($0)." } ?? ""
    guard paperTable != nil else {
      return ["The recipe repeats an experiment of the paper\(place)" + finding]
    }
    return [
      "The paper's figures\(place) Its data and its tokenizer are others: the order of the units and the "
        + "differences between them compare with ours, the perplexities do not. Places are by loss, the "
        + "lowest first." + finding
    ] + [PaperComparison(paper, results).finding].compactMap { $0 }
  }
}
