import Foundation
import MGLUReports
import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct ComparisonReportTests {
  /// One letter, and every 400 letters another: a window that has it comes as a surprise.
  private static let monotony = String(
    repeating: String(repeating: "a", count: 399) + "z", count: 10)

  private static func plan(_ text: String, rates: [Double]) throws -> ComparisonPlan {
    var plan = try ComparisonTests.plan("gelu,swimglu:2", seeds: [1, 2])
    plan.learningRates = rates
    plan.settings.steps = 500
    plan.settings.batchSize = 1
    plan.settings.saveEvery = 0
    plan.settings.evaluateEvery = 250
    return plan
  }

  private func report(
    _ results: ComparisonResults, _ plan: ComparisonPlan, paper: ComparisonRecipe.Paper? = nil,
    in folder: String
  ) throws -> (markdown: String, html: String) {
    try ComparisonReport(results, title: "A title", machine: "a machine", plan: plan, paper: paper)
      .write(to: folder)
    func text(_ name: String) throws -> String {
      String(decoding: try MappedFile(path: "\(folder)/\(name)").contents, as: UTF8.self)
    }
    return (try text("report.md"), try text("report.html"))
  }

  private func words(_ text: String) -> Set<String> {
    Set(text.lowercased().split { !$0.isLetter }.map(String.init))
  }

  @Test func runsThatSpikedOrDivergedAreNamed() throws {
    try withTemporaryFolder { folder in
      let plan = try Self.plan(Self.monotony, rates: [1e-2, 1e30])
      let results = try #require(
        try ComparisonTests.comparison(plan, in: folder, text: Self.monotony).run())
      let spiked = results.runs.filter { !$0.spikes.isEmpty }
      let diverged = results.runs.filter { $0.divergence != nil }
      #expect(!spiked.isEmpty && spiked.allSatisfy { $0.learningRate == 1e-2 })
      #expect(diverged.map(\.learningRate) == [1e30, 1e30, 1e30, 1e30])
      // The log has the jump: a step before the spike stood far below it.
      for run in spiked {
        let unit = run.unit == "gelu" ? "gelu" : "swimglu-2"
        let losses = try MetricsLog.lines(in: "\(folder)/runs/\(unit)/seed-\(run.seed)-rate-0.01")
          .compactMap(\.loss)
        for step in run.spikes { #expect(losses[step - 1] > losses[step - 2] + 0.1) }
      }

      let (markdown, html) = try report(results, plan, in: folder)
      for run in spiked {
        let title = run.unit == "gelu" ? "LU (gelu)" : "SwiMGLU, n_m = 2"
        let steps = run.spikes.map(String.init).joined(separator: ", ")
        let words = run.spikes.count == 1 ? "step" : "steps"
        let line = "\(title), seed \(run.seed), rate 1.0e-2 spiked at \(words) \(steps)."
        #expect(markdown.contains(line) && html.contains(line), "\(line)")
      }
      for line in ["seed 1, rate 1.0e30 diverged: step", "| 2 diverged |", LossSpikes.rule] {
        #expect(markdown.contains(line), "\(line)")
      }
      #expect(html.contains("seed 2, rate 1.0e30 diverged: step"))
      #expect(html.contains(">2 diverged</td>") && html.contains(">diverged</text>"))
      // Where the page is narrow every figure has its title beside it.
      for title in ["validation loss", "perplexity", "runs"] {
        let cells = html.components(separatedBy: "<td data-title=\"\(title)\"").count - 1
        #expect(cells == results.summaries.count)
      }
      let marks = spiked.reduce(0) { $0 + $1.spikes.count }
      // Once in the training curves, once in the validation curves.
      #expect(html.components(separatedBy: "<circle").count == 1 + 2 * marks)

      let document = try #require(
        try JSONSerialization.jsonObject(
          with: Data(contentsOf: URL(fileURLWithPath: folder + "/results.json")))
          as? [String: Any])
      let runs = try #require(document["runs"] as? [[String: Any]])
      #expect(runs.map { $0["spikes"] as? [Int] } == results.runs.map(\.spikes))
      #expect(runs.count { ($0["divergence"] as? String)?.contains("not finite") == true } == 4)
      let rows = try #require(document["summaries"] as? [[String: Any]])
      #expect(rows.map { $0["diverged_runs"] as? Int } == [0, 0, 2, 2])
      #expect(rows.compactMap { $0["spiked_runs"] as? Int }.reduce(0, +) == spiked.count)
      let json = try Comparison.document(in: folder)
      for text in [markdown, html, json] {
        #expect(words(text).isDisjoint(with: ["nan", "inf", "infinity"]))
      }
    }
  }

  @Test func aCalmComparisonSaysNothingOfSpikes() throws {
    try withTemporaryFolder { folder in
      let text = String(repeating: "a", count: 4000)
      let plan = try Self.plan(text, rates: [1e-2])
      let comparison = try ComparisonTests.comparison(plan, in: folder, text: text)
      let results = try #require(try comparison.run())
      let (markdown, html) = try report(results, plan, in: folder)
      for text in [markdown, html] {
        #expect(!text.contains("spiked") && !text.contains("diverged") && !text.contains("circle"))
      }
    }
  }

  /// The one step goes well and leaves weights of which no loss can be computed: without a result
  /// the run has diverged, as the table and the drawing say.
  @Test func aRunWithoutALossAtTheEndDiverged() throws {
    try withTemporaryFolder { folder in
      var plan = try ComparisonTests.plan("gelu,swiglu", seeds: [1])
      plan.learningRates = [1e-2, 1e10]
      plan.settings.steps = 1
      plan.settings.warmupSteps = 0
      let results = try #require(try ComparisonTests.comparison(plan, in: folder).run())
      #expect(results.runs.allSatisfy { $0.steps == 1 })
      #expect(results.runs.map { $0.validationLoss != nil } == [true, true, false, false])
      #expect(results.summaries.map(\.divergedRuns) == [0, 0, 1, 1])
      let markdown = try report(results, plan, in: folder).markdown
      #expect(markdown.contains("diverged: the validation loss after step 1 is not finite."))
    }
  }

  /// At a rate of 1000 decay makes weights 99 times as large at every step. The validations before
  /// they are infinite are points of the curve, and none of them the result.
  @Test func anEarlierValidationIsNotTheResult() throws {
    try withTemporaryFolder { folder in
      var plan = try ComparisonTests.plan("gelu", seeds: [1])
      plan.learningRates = [1e3]
      plan.settings.steps = 40
      plan.settings.warmupSteps = 0
      plan.settings.evaluateEvery = 1
      let results = try #require(try ComparisonTests.comparison(plan, in: folder).run())
      let run = results.runs[0]
      #expect(run.divergence != nil && run.steps < 40 && !run.validationCurve.isEmpty)
      #expect(run.validationLoss == nil && results.summaries[0].validationLoss == nil)
      let html = try report(results, plan, in: folder).html
      #expect(words(html).isDisjoint(with: ["nan", "inf", "infinity"]))
    }
  }

  /// A loss whose exponential is beyond a Double is still a result, and one that is beyond an Int
  /// still has a drawing.
  @Test(arguments: [800, 1e25, 1e300])
  func enormousLossesAreResults(loss: Double) throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("gelu,swiglu", seeds: [1])
      let comparison = try ComparisonTests.comparison(plan, in: folder)
      _ = try comparison.run()
      let path = folder + "/runs/swiglu/seed-1-rate-0.01/result.json"
      let url = URL(fileURLWithPath: path)
      var run = try #require(
        try JSONSerialization.jsonObject(with: Data(contentsOf: url)) as? [String: Any])
      run["validation_loss"] = loss
      run["perplexity"] = nil
      for name in ["training_curve", "validation_curve"] {
        let points = run[name] as? [[String: Any]]
        run[name] = points?.map { ["step": $0["step"] ?? 0, "value": loss] }
      }
      try JSONSerialization.data(withJSONObject: run).write(to: url)
      let results = try #require(try comparison.run())
      #expect(results.summaries[1].validationLoss == loss)
      #expect(results.summaries[1].perplexity == nil)
      let (markdown, html) = try report(results, plan, in: folder)
      #expect(markdown.contains("| SwiGLU |"))
      for text in [markdown, html, try Comparison.document(in: folder)] {
        #expect(words(text).isDisjoint(with: ["nan", "inf", "infinity"]))
      }
    }
  }

  @Test func thePapersPerplexitiesStandBesideOurs() throws {
    try withTemporaryFolder { folder in
      try AtomicFile.write(
        Array(
          """
          {"title": "a", "units": ["gelu", "swiglu", "swimglu"], "scales": {},
           "paper": {"source": "table <9>", "scale": "a model of theirs", "finding": "all was well",
             "perplexity": {"gelu": 25.8, "swimglu": 23.94}}}
          """.utf8), to: folder + "/recipe.json")
      let paper = try ComparisonRecipe(contentsOf: folder + "/recipe.json").paper
      let plan = try ComparisonTests.plan("gelu,swiglu,swimglu:4", seeds: [1])
      let results = try #require(try ComparisonTests.comparison(plan, in: folder + "/out").run())

      let (markdown, html) = try report(results, plan, paper: paper, in: folder)
      let tables = markdown.components(separatedBy: "\n\n").filter { $0.hasPrefix("|") }
      let cells = try #require(tables.last).split(separator: "\n").map { line in
        line.split(separator: "|").map { $0.filter { $0 != " " } }
      }
      let column = try #require(cells[0].firstIndex(of: "paper'sperplexity"))
      #expect(tables.count == 2 && cells.allSatisfy { $0.count == cells[0].count })
      // The unit without a figure of the paper is in the first table alone.
      #expect(cells.dropFirst(2).map { $0[0] } == ["LU(gelu)", "SwiMGLU,n_m=4"])
      #expect(cells.dropFirst(2).map { $0[column] } == ["25.8", "23.9"])
      #expect(html.contains(">paper's perplexity</th>") && html.contains(">25.8</td>"))
      #expect(markdown.contains("(arXiv 2506.23225): table <9>; a model of theirs."))
      #expect(html.contains("table &lt;9&gt;") && html.contains("There, all was well."))

      // Of none of these units the paper tells anything; without a recipe it is not mentioned.
      let others = try ComparisonTests.plan("swiglu", seeds: [1])
      let alone = try #require(try ComparisonTests.comparison(others, in: folder + "/out").run())
      let named = try report(alone, others, paper: paper, in: folder).markdown
      #expect(named.contains("table <9>") && !named.contains("paper's perplexity"))
      let plain = try report(results, plan, in: folder)
      #expect(!plain.markdown.contains("paper") && !plain.html.contains("arXiv"))
    }
  }
}
