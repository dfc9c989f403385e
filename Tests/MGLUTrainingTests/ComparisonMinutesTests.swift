import MGLUTestSupport
import MGLUTraining
import Testing

/// Steps from a length of time, without a word about how long anything took.
@Suite struct ComparisonMinutesTests {
  private static let corpus: Corpus = {
    let ids = Tokenizer.bytes.encode(TrainerTests.proverbs)
    return Corpus(
      training: TokenSequence(Array(ids.dropLast(50))),
      validation: TokenSequence(Array(ids.suffix(50))))
  }()

  private func steps(
    _ plan: ComparisonPlan, minutes: Double, in folder: String
  ) throws -> Int {
    try plan.steps(
      forMinutes: minutes, tokenizer: .bytes, corpus: Self.corpus, on: CPUBackend(threads: 2),
      output: folder)
  }

  /// No step is done in 60 nanoseconds, and none takes ten hours.
  @Test func stepsStayWithinBounds() throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("gelu,swimglu:2")
      #expect(try steps(plan, minutes: 1e-9, in: folder + "/out") == 1)
      #expect(try steps(plan, minutes: 1e14, in: folder + "/out") == 1_000_000_000)
      #expect(Folder.kind(of: folder + "/out") == nil, "trial steps leave no files")
    }
  }

  /// Whatever the clock says the second time, and with more units too.
  @Test func aFolderKeepsItsSteps() throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("gelu", seeds: [1])
      _ = try ComparisonTests.comparison(plan, in: folder).run()
      for minutes in [1e-9, 5, 1e14] {
        #expect(try steps(plan, minutes: minutes, in: folder) == 12)
        #expect(try steps(ComparisonTests.plan(), minutes: minutes, in: folder) == 12)
      }
    }
  }

  @Test(arguments: [0, -1, Double.nan, Double.infinity, -Double.infinity])
  func minutesThatAreNoTimeAreRefused(minutes: Double) throws {
    try withTemporaryFolder { folder in
      let plan = try ComparisonTests.plan("gelu", seeds: [1])
      _ = try ComparisonTests.comparison(plan, in: folder + "/done").run()
      for path in [folder + "/new", folder + "/done"] {
        let error = #expect(throws: ExperimentError.self) {
          try steps(plan, minutes: minutes, in: path)
        }
        #expect(error?.code == .setting && error?.message.contains("more than 0") == true)
      }
    }
  }

  /// Refused before a trial step would allocate it.
  @Test func aModelWithoutRoomIsRefused() throws {
    try withTemporaryFolder { folder in
      var plan = try ComparisonTests.plan("gelu,swiglu")
      plan.model.layers = 1
      plan.model.feedForward.intermediateSize = PhysicalMemory.byteCount / 64
      #expect(throws: MemoryError.self) { try steps(plan, minutes: 1, in: folder + "/out") }
      #expect(throws: MemoryError.self) {
        try ComparisonTests.comparison(plan, in: folder + "/out")
      }
      #expect(Folder.kind(of: folder + "/out") == nil)
    }
  }
}
