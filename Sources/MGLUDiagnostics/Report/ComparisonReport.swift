import MGLUTraining

/// What a comparison came to, as text for people: `report.md` and `report.html`.
package struct ComparisonReport {
  let title: String
  let conditions: String
  let results: ComparisonResults
  let table: ComparisonTable

  /// A report.
  ///
  /// - Parameters:
  ///   - title: Its heading.
  ///   - machine: What computed, in words.
  ///   - plan: What was compared.
  package init(
    _ results: ComparisonResults, title: String, machine: String, plan: ComparisonPlan
  ) {
    self.title = title
    self.results = results
    table = ComparisonTable(results)
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

  /// What the columns mean.
  var notes: [String] {
    var notes = [
      "Validation loss in nats per token: mean and standard deviation over seeds; perplexity is "
        + "that of the mean loss. The difference to the first unit is paired: runs of one seed see "
        + "the same batches. MiB counts FP16 weights and 1-bit masks.",
      "Speeds are medians over seeds, and suffer from whatever else the machine did; decoding is over "
        + "packed masks and weights of the type that training multiplies in, FP32 on a CPU and BF16 "
        + "on a GPU, the fastest of twenty texts.",
    ]
    if results.summaries.contains(where: { $0.spikedRuns > 0 }) { notes.append(LossSpikes.rule) }
    for run in results.runs {
      if let reason = run.divergence {
        notes.append(
          "\(UnitSpecification.title(of: run.unit)), seed \(run.seed), rate "
            + "\(NumberFormat.scientific(run.learningRate)) diverged: \(reason).")
      }
    }
    return notes
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
