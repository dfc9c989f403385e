import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct ComparisonTests {
  static func plan(
    _ units: String = "gelu,swiglu,swimglu:2,swimglu:2/fixed", seeds: [UInt64] = [1, 2],
    matched: Bool = false
  ) throws -> ComparisonPlan {
    ComparisonPlan(
      units: try UnitSpecification.list(units), seeds: seeds, learningRates: [1e-2],
      matchesParameters: matched,
      model: ModelConfiguration(
        vocabularySize: Tokenizer.bytes.vocabularySize, layers: 2,
        attention: .init(heads: 2, kvHeads: 1, headSize: 6),
        feedForward: .init(hiddenSize: 12, intermediateSize: 18, unit: .glu), contextLength: 8),
      settings: TrainingConfiguration(
        steps: 12, batchSize: 3, contextLength: 8, warmupSteps: 3, evaluateEvery: 5, saveEvery: 4,
        keptCheckpoints: 1))
  }

  static func comparison(
    _ plan: ComparisonPlan, in folder: String, text: String = TrainerTests.proverbs
  ) throws -> Comparison {
    let ids = Tokenizer.bytes.encode(text)
    return try Comparison(
      plan, tokenizer: .bytes,
      corpus: Corpus(
        training: TokenSequence(Array(ids.dropLast(50))),
        validation: TokenSequence(Array(ids.suffix(50)))), on: CPUBackend(threads: 2),
      output: folder)
  }

  /// Stopped in every run, some of them killed, and called again: the same bytes.
  @Test func stoppedComparisonsEndWithTheSameBytes() throws {
    try withTemporaryFolder { folder in
      let plan = try Self.plan()
      let whole = try #require(try Self.comparison(plan, in: folder + "/whole").run())
      #expect(whole.runs.count == 8 && whole.runs.allSatisfy { $0.steps == 12 })
      let path = folder + "/stopped"
      var (stops, began) = (0, 0)
      while true {
        var polls = 0
        let found = try Self.comparison(plan, in: path).run(
          observe: { if case .began = $0 { began += 1 } },
          isCancelled: {
            polls += 1
            return polls > 5 + stops % 7
          })
        if found != nil { break }
        stops += 1
        // A killed process leaves no checkpoint of its last steps.
        let killed = stops % 3 == 0 ? ModelFolder.checkpoints(in: path + "/runs/swiglu/seed-1") : []
        for checkpoint in killed { try Folder.remove(checkpoint) }
      }
      #expect(stops > 8 && began > 8)
      for name in ["results.json", "results.csv"] {
        #expect(
          try MappedFile(path: "\(path)/\(name)").contents
            == MappedFile(path: "\(folder)/whole/\(name)").contents)
      }
      // Finished runs are not run again.
      began = 0
      let again = try Self.comparison(plan, in: path).run(
        observe: { if case .began = $0 { began += 1 } })
      #expect(began == 0 && again?.runs == whole.runs)
    }
  }

  @Test func summariesArePairedWithTheFirstUnit() throws {
    try withTemporaryFolder { folder in
      let results = try #require(try Self.comparison(Self.plan(), in: folder).run())
      #expect(results.summaries.map(\.unit) == ["gelu", "swiglu", "swimglu:2", "swimglu:2/fixed"])
      let losses = results.runs.filter { $0.unit == "swiglu" }.compactMap(\.validationLoss)
      let first = results.runs.filter { $0.unit == "gelu" }.compactMap(\.validationLoss)
      let differences = zip(losses, first).map { $0 - $1 }
      let row = results.summaries[1]
      #expect(row.validationLoss == (losses[0] + losses[1]) / 2)
      #expect(row.difference == (differences[0] + differences[1]) / 2)
      let deviation = try #require(row.differenceDeviation)
      #expect(abs(deviation - abs(differences[0] - differences[1]) / 2.0.squareRoot()) < 1e-12)
      #expect(results.summaries[0].difference == nil && row.maskBits == 0)
      #expect(results.summaries[2].maskBits == 2 * 2 * 12 * 18)
      let speed = results.speed(of: row)
      #expect(speed.training ?? 0 > 0 && speed.decode ?? 0 > 0)
      // Fixed masks do not move, and a share of ones is near a half.
      let fixed = try #require(results.runs.last?.masks.first)
      #expect(fixed.step == 0 && fixed.ones.allSatisfy { abs($0 - 0.5) < 0.2 })
    }
  }

  @Test(arguments: ["gelu", "swiglu", "swimglu:4/top-2"])
  func matchedUnitsHaveTheFirstOnesWeights(first: String) throws {
    let plan = try Self.plan(
      first + ",reglu,shared-swiglu,swimglu:8,swimglu:3/top-1", matched: true)
    let target = plan.model(with: plan.units[0]).weightCount
    #expect(plan.model(with: plan.units[0]).feedForward.intermediateSize == 18)
    for unit in plan.units {
      let model = plan.model(with: unit)
      let step = 12 * (unit.unit == .glu ? 3 : 2)
      #expect(abs(model.weightCount - target) * 2 <= model.layers * step, "\(unit)")
    }
  }

  @Test func otherConditionsAreRefused() throws {
    try withTemporaryFolder { folder in
      _ = try Self.comparison(Self.plan("gelu", seeds: [1]), in: folder).run()
      var other = try Self.plan("gelu", seeds: [1])
      other.settings.steps = 13
      let error = #expect(throws: ExperimentError.self) { try Self.comparison(other, in: folder) }
      #expect(error?.code == .disagreement && error?.message.contains("steps 13, not 12") == true)
      #expect(throws: ExperimentError.self) {
        try Self.comparison(
          Self.plan("gelu"), in: folder, text: TrainerTests.proverbs.uppercased())
      }
      // What the sentence of the model does not say.
      var turned = try Self.plan("gelu", seeds: [1])
      turned.model.ropeTheta *= 2
      let refusal = #expect(throws: ExperimentError.self) {
        try Self.comparison(turned, in: folder)
      }
      #expect(refusal?.message.contains("rope_theta 20000") == true, "\(refusal?.message ?? "")")
      // More units and seeds are welcome.
      let more = try Self.comparison(Self.plan("gelu,swiglu"), in: folder).run()
      #expect(more?.runs.count == 4)
    }
  }

  @Test func aRunThatDivergesIsARowAndNotTheEnd() throws {
    try withTemporaryFolder { folder in
      var plan = try Self.plan("gelu,swiglu", seeds: [1])
      plan.learningRates = [1e-2, 1e30]
      let results = try #require(try Self.comparison(plan, in: folder).run())
      #expect(results.runs.map { $0.divergence == nil } == [true, true, false, false])
      #expect(results.summaries.map(\.divergedRuns) == [0, 0, 1, 1])
      #expect(results.summaries[3].validationLoss == nil && results.summaries[3].difference == nil)
    }
  }

  @Test func spikesAreFoundOnceEach() {
    var losses: [Double] = (0..<300).map { (step: Int) -> Double in
      let wave = 0.02 * Double(step % 3)
      return 3 - 0.005 * Double(step) + wave
    }
    #expect(LossSpikes.steps(of: losses, after: 20) == [])
    losses[199] += 2
    losses[201] += 2
    #expect(LossSpikes.steps(of: losses, after: 20) == [200])
    #expect(LossSpikes.steps(of: losses, after: 210) == [])
  }
}
