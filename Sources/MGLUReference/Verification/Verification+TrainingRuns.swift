import MGLUTraining

/// Runs of training.
extension Verification {
  /// The first steps beside the CPU's.
  ///
  /// Losses in nats. What BF16 rounds of one step is some 1e-3 of the mean of its tokens, and runs
  /// drift apart from there, because AdamW steps by the sign of small gradients too. A run of a GLU
  /// on the CPU whose weights are rounded once before the first step is off by 3e-3 within 50 steps:
  /// 0.03. Masks multiply a drift as soon as bits flip, from about step 25 on: six such runs of an
  /// MGLU are off by 0.01 to 0.06 at the end, which the bound from there on has to allow.
  package func lossCurves() -> [Finding] {
    [FeedForwardUnitKind.glu, .mglu(.init(count: 2))].map { unit in
      trainingFinding("loss curve, \(unit.label)") { _, finding in
        let found = try Self.losses(unit, on: trainingBackend())
        let expected = try Self.losses(unit, on: backend.host)
        for (step, (a, b)) in zip(found, expected).enumerated() {
          let bound = unit == .glu || step < 25 ? 0.03 : 0.15
          finding.add(error: abs(a - b), bound: bound, "step \(step + 1): \(a), not \(b)")
        }
        if expected[49] > 3.5 {
          finding.add(error: .infinity, bound: 1, "nothing learned: \(expected[49])")
        }
      }
    }
  }

  private static func losses(
    _ unit: FeedForwardUnitKind, on backend: any TrainingBackend
  ) throws -> [Double] {
    var losses: [Double] = []
    _ = try trainer(unit, steps: 50, on: backend).run { event in
      if case .step(let report) = event { losses.append(report.loss) }
    }
    return losses
  }

  /// The same bytes: of a run resumed at step 20 of 40 by another backend, and of one that keeps no
  /// activations.
  package func repeatedRuns() -> Finding {
    trainingFinding("runs, repeated") { _, finding in
      for unit in [FeedForwardUnitKind.glu, .mglu(.init(count: 2))] {
        let folder = "/tmp/mglu-verify-\(UInt64.random(in: 0...UInt64.max))"
        defer { try? Folder.remove(folder) }
        func model(_ name: String) throws -> [UInt8] {
          try MappedFile(path: "\(folder)/\(name)/model.safetensors").contents
        }
        let first = try Self.trainer(
          unit, steps: 40, on: trainingBackend(), output: folder + "/whole")
        try first.prepareOutput(resume: false) { _ in }
        _ = try first.run()
        let whole = try model("whole")

        // What a run that was killed after step 20 leaves.
        try Folder.remove(folder + "/whole/checkpoint-000040")
        try Folder.remove(folder + "/whole/model.safetensors")
        let resumed = try Self.trainer(
          unit, steps: 40, on: trainingBackend(), output: folder + "/whole")
        var step = 0
        try resumed.prepareOutput(resume: true) {
          if case .resumed(let found) = $0 { step = found }
        }
        _ = try resumed.run()
        finding.add(
          error: try step == 20 && model("whole") == whole ? 0 : .infinity, bound: 1,
          "\(unit.label), resumed at \(step)")

        let other = try trainingBackend()
        other.tunedAlgorithms = first.model.backend.tunedAlgorithms
        let recomputing = try Self.trainer(
          unit, steps: 40, on: other, output: folder + "/recomputing", recomputes: true)
        try recomputing.prepareOutput(resume: false) { _ in }
        _ = try recomputing.run()
        finding.add(
          error: try model("recomputing") == whole ? 0 : .infinity, bound: 1,
          "\(unit.label), recomputing")
      }
    }
  }

  /// A nano model on a synthetic text.
  private static func trainer(
    _ unit: FeedForwardUnitKind, steps: Int, on backend: any TrainingBackend,
    output: String? = nil, recomputes: Bool = false
  ) throws -> Trainer {
    var shape = ModelPreset.nano.configuration
    shape.feedForward.unit = unit
    let model = try LanguageModel(shape, on: backend)
    model.initialize(seed: 5)
    var random = Philox(seed: 29, purpose: .synthetic)
    let words = ["a", "rolling", "stone", "gathers", "no", "moss", "look", "before", "you", "leap"]
    let text = (0..<4000).map { _ in words.randomElement(using: &random)! }.joined(separator: " ")
    let ids = Tokenizer.bytes.encode(text)
    return try Trainer(
      model, tokenizer: .bytes,
      corpus: Corpus(
        training: TokenSequence(Array(ids.dropLast(1000))),
        validation: TokenSequence(Array(ids.suffix(1000)))),
      configuration: TrainingConfiguration(
        steps: steps, batchSize: 8, contextLength: 64, learningRate: 1e-3,
        minimumLearningRate: 1e-4, warmupSteps: 10, seed: 7, evaluateEvery: 0, saveEvery: 20),
      output: output, recomputesActivations: recomputes)
  }
}
