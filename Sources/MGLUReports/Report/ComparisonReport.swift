internal import CMGLUResources
import MGLUTraining

/// The results of a comparison for people: `report.md` and `report.html`.
package struct ComparisonReport {
  let title: String
  let conditions: String
  let results: ComparisonResults
  let table: ComparisonTable
  let paper: ComparisonRecipe.Paper?
  /// The paper's figures beside ours.
  let paperTable: ComparisonTable?
  /// The model of each unit.
  let models: [String: ModelConfiguration]
  /// Tokens of a window.
  let contextLength: Int

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
    table = ComparisonTable(results)
    paperTable = paper.flatMap { ComparisonTable($0, beside: results) }
    models = Dictionary(plan.units.map { ($0.description, plan.model(with: $0)) }) { $1 }
    contextLength = plan.settings.contextLength
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
    try AtomicFile.write(Array(html.utf8), to: folder + "/report.html")
    let style = "\n" + String(cString: cmglu_drawing_style())
    for plot in costPlots {
      try AtomicFile.write(
        Array((plot.svg(style: style) + "\n").utf8), to: "\(folder)/\(plot.file)")
    }
    try AtomicFile.write(Array(markdown.utf8), to: folder + "/report.md")
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

  var markdown: String {
    func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    func lines(_ table: ComparisonTable) -> [String] {
      [row(table.columns.map(\.title)), row(table.columns.map { $0.isNumber ? "---:" : "---" })]
        + table.rows.map(row)
    }
    let plots = costPlots.map { "![\($0.title)](\($0.file))" }
    return
      (["# \(title)", "", conditions + ".", ""] + lines(table) + notes.flatMap { ["", $0] }
      + (paperTable.map { [""] + lines($0) } ?? []) + paperNotes.flatMap { ["", $0] }
      + (plots.isEmpty ? [] : ["", Self.costNote, ""] + plots))
      .joined(separator: "\n") + "\n"
  }
}
