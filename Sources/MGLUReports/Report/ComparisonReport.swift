import MGLUTraining

/// The results of a comparison for people: `report.md` and `report.html`.
package struct ComparisonReport {
  let title: String
  let conditions: String
  let results: ComparisonResults
  let table: ComparisonTable
  let paper: ComparisonRecipe.Paper?

  /// A report.
  ///
  /// - Parameters:
  ///   - title: Its heading.
  ///   - machine: The machine of the runs, in words.
  ///   - plan: The plan of the comparison.
  ///   - paper: The paper's figures of the experiment, where a recipe has them.
  package init(
    _ results: ComparisonResults, title: String, machine: String, plan: ComparisonPlan,
    paper: ComparisonRecipe.Paper? = nil
  ) {
    self.title = title
    self.results = results
    self.paper = paper
    table = ComparisonTable(results, paper: paper)
    let model = plan.model
    let settings = plan.settings
    conditions =
      "\(model.layers) layers, h \(model.hiddenSize), d \(model.feedForward.intermediateSize)"
      + (plan.matchesParameters ? " widened to equal weights" : "")
      + ", context \(settings.contextLength); \(NumberFormat.grouped(results.steps)) steps of "
      + "\(NumberFormat.grouped(settings.tokensPerStep)) tokens, "
      + "\(plan.seeds.count == 1 ? "seed" : "seeds") "
      + plan.seeds.map { "\($0)" }.joined(separator: ", ")
      + "; learning rate "
      + plan.learningRates.map { NumberFormat.scientific($0) }.joined(separator: ", ")
      + "; \(machine)"
  }

  /// Writes the report into `folder`.
  package func write(to folder: String) throws(FileError) {
    try AtomicFile.write(Array(markdown.utf8), to: folder + "/report.md")
    try AtomicFile.write(Array(html.utf8), to: folder + "/report.html")
  }

  /// The meaning of the columns.
  var notes: [String] {
    var notes = [
      "Validation loss in nats per token: mean and standard deviation over seeds; perplexity is "
        + "that of the mean loss. The difference to the first unit is paired: runs of one seed see "
        + "the same batches. MiB counts FP16 weights and 1-bit masks.",
      "Speeds are medians over seeds, and suffer from other work of the machine; decoding is over "
        + "packed masks and weights of the type that training multiplies in, FP32 on a CPU and BF16 "
        + "on a GPU, the fastest of twenty sequences.",
    ]
    if let paper { notes.append(Self.note(of: paper, hasColumn: table.hasPaper)) }
    if results.summaries.contains(where: { $0.spikedRuns > 0 }) { notes.append(LossSpikes.rule) }
    for run in results.runs {
      let name =
        "\(UnitSpecification.title(of: run.unit)), seed \(run.seed), rate "
        + NumberFormat.scientific(run.learningRate)
      if !run.spikes.isEmpty {
        notes.append(
          "\(name) spiked at \(run.spikes.count == 1 ? "step" : "steps") "
            + run.spikes.map(NumberFormat.grouped).joined(separator: ", ") + ".")
      }
      if let reason = run.divergence { notes.append("\(name) diverged: \(reason).") }
    }
    return notes
  }

  /// The place of the paper's figures, and the figures that compare with them.
  private static func note(of paper: ComparisonRecipe.Paper, hasColumn: Bool) -> String {
    let place = " (arXiv 2506.23225): \(paper.source); \(paper.scale)."
    return
      (hasColumn
      ? "The paper's perplexities\(place) On other tokens, only the order of the "
        + "units compares with them."
      : "The recipe repeats an experiment of the paper\(place)")
      + (paper.finding.map { " There, \($0)." } ?? "")
  }

  var markdown: String {
    func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    return
      (["# \(title)", "", conditions + ".", ""]
      + [row(table.columns.map(\.title)), row(table.columns.map { $0.isNumber ? "---:" : "---" })]
      + table.rows.map(row) + notes.flatMap { ["", $0] })
      .joined(separator: "\n") + "\n"
  }
}
