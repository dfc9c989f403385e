import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct MaskTelemetryTests {
  private func trainer(_ unit: FeedForwardUnitKind, in folder: String) throws -> Trainer {
    let plain = try TrainerTests.trainer(unit, in: nil)
    let ids = Tokenizer.bytes.encode(TrainerTests.proverbs)
    let trainer = try Trainer(
      plain.model, tokenizer: .bytes,
      corpus: Corpus(
        training: TokenSequence(ids), validation: TokenSequence(Array(ids.suffix(50)))),
      configuration: TrainerTests.configuration(), output: folder, telemetryInterval: 3)
    return trainer
  }

  @Test func sharesAndFlipsAreCounted() throws {
    let trainer = try TrainerTests.trainer(.mglu(.init(count: 3)), in: nil)
    var telemetry = try #require(MaskTelemetry(trainer.model))
    let first = try telemetry.measure(step: 0)
    #expect(first.flips == nil && first.ones.count == 2)
    for (layer, shares) in trainer.model.gateShares.enumerated() {
      #expect(abs(first.ones[layer] - shares.reduce(0, +) / 3) < 1e-12)
    }
    // One logit of 3 * 17 * 12 turned to zero: at most one flip, one near zero more.
    let unit = try #require(trainer.model.weights.layers[1].unit.masked)
    let index = try #require(unit.maskLogits.array.firstIndex { $0 > 0.002 })
    unit.maskLogits.withMutableFloats { $0[index] = 0 }
    let second = try telemetry.measure(step: 50)
    #expect(second.flips == [0, 2 * 100 * 0.01 / Double(unit.maskLogits.count)])
    let difference = (second.nearZero[1] - first.nearZero[1]) * Double(unit.maskLogits.count)
    #expect(abs(difference - 1) < 1e-9)
    let plain = try TrainerTests.trainer(.glu, in: nil)
    #expect(MaskTelemetry(plain.model) == nil)
  }

  /// The bits to compare with are in the checkpoint: stopped between two measurements, the same log.
  @Test(arguments: [2, 4, 7, 10])
  func aResumedRunLogsTheSame(stop: Int) throws {
    try withTemporaryFolder { folder in
      let unit = FeedForwardUnitKind.mglu(.init(count: 2))
      func masks(_ path: String) throws -> [[[Double]?]] {
        try MetricsLog.lines(in: path).filter { $0.maskOnes != nil }.map {
          [[Double($0.step)], $0.maskOnes, $0.maskFlips, $0.maskNearZero]
        }
      }
      let whole = try trainer(unit, in: folder + "/whole")
      try whole.prepareOutput(resume: false) { _ in }
      _ = try whole.run()
      let stopped = try trainer(unit, in: folder + "/stopped")
      try stopped.prepareOutput(resume: false) { _ in }
      _ = try stopped.run(isCancelled: { stopped.step >= stop })
      let resumed = try trainer(unit, in: folder + "/stopped")
      try resumed.prepareOutput(resume: true) { _ in }
      _ = try resumed.run()
      let expected = try masks(folder + "/whole")
      #expect(expected.map { $0[0] } == [[0], [3], [6], [9], [12]])
      #expect(try masks(folder + "/stopped") == expected)
      #expect(expected.last?[2]?.contains { $0 > 0 } == true)
    }
  }

  @Test func masksOfTwoModelsAreCompared() throws {
    let (a, b) = try (
      TrainerTests.trainer(.mglu(.init(count: 3)), in: nil).model,
      TrainerTests.trainer(.mglu(.init(count: 3)), in: nil).model
    )
    #expect(try a.maskDifferences(from: b) == [[0, 0, 0], [0, 0, 0]])
    let unit = try #require(b.weights.layers[1].unit.masked)
    let index = unit.weight.count + 5
    unit.maskLogits.withMutableFloats { $0[index] = -$0[index] }
    #expect(
      try a.maskDifferences(from: b) == [[0, 0, 0], [0, 1 / Double(unit.weight.count), 0]])
    let other = try TrainerTests.trainer(.mglu(.init(count: 2)), in: nil).model
    #expect(throws: CheckpointError.self) { try a.maskDifferences(from: other) }
    let plain = try TrainerTests.trainer(.glu, in: nil).model
    #expect(try plain.maskDifferences(from: plain).isEmpty)
  }
}
