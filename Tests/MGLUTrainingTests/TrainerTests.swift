import MGLUTestSupport
import MGLUTraining
import Testing

@Suite struct TrainerTests {
  static let units: [FeedForwardUnitKind] = [
    .glu, .mglu(.init(count: 3)), .mglu(.init(count: 2, kind: .fixed)),
    .mglu(.init(count: 3, routerTopK: 2)),
  ]

  static func configuration(steps: Int = 12) -> TrainingConfiguration {
    TrainingConfiguration(
      steps: steps, batchSize: 3, contextLength: 8, gradientAccumulation: 2, learningRate: 1e-2,
      minimumLearningRate: 1e-3, warmupSteps: 3, seed: 7, evaluateEvery: 5, saveEvery: 4)
  }

  /// A tiny run in `folder`.
  static func trainer(
    _ unit: FeedForwardUnitKind = .mglu(.init(count: 3)), in folder: String?,
    _ configuration: TrainingConfiguration = configuration(), text: String = proverbs,
    tokenizer: Tokenizer = .bytes
  ) throws -> Trainer {
    let shape = ModelConfiguration(
      vocabularySize: tokenizer.vocabularySize, layers: 2,
      attention: .init(heads: 2, kvHeads: 1, headSize: 6),
      feedForward: .init(hiddenSize: 12, intermediateSize: 17, unit: unit), contextLength: 8)
    let model = try LanguageModel(shape, on: CPUBackend(threads: 2))
    model.initialize(seed: 5)
    let ids = tokenizer.encode(text)
    let corpus = Corpus(
      training: TokenSequence(Array(ids.dropLast(50))),
      validation: TokenSequence(Array(ids.suffix(50))))
    return try Trainer(
      model, tokenizer: tokenizer, corpus: corpus, configuration: configuration, output: folder)
  }

  static let proverbs = String(
    repeating: "A rolling stone gathers no moss. Look before you leap. ", count: 6)

  /// A teacher draws the model to itself, none of it changes nothing, and one that does not fit is
  /// refused.
  @Test func aTeacherIsLearnedFrom() throws {
    func trained(
      _ distillation: Distillation?, teacher: LanguageModel? = nil
    ) throws -> LanguageModel {
      var configuration = Self.configuration(steps: 60)
      configuration.distillation = distillation
      let student = try Self.trainer(in: nil).model
      let text = TokenSequence(Tokenizer.bytes.encode(Self.proverbs))
      let trainer = try Trainer(
        student, tokenizer: .bytes, corpus: Corpus(training: text, validation: text),
        configuration: configuration, teacher: teacher)
      _ = try trainer.run()
      return student
    }
    // Drawn, not trained: what it says is in no text.
    let teacher = try LanguageModel(
      trained(nil).configuration, seed: 77, on: CPUBackend(threads: 2))
    for parameter in teacher.namedParameters where parameter.name.contains("embed") {
      parameter.tensor.assign(parameter.tensor.array.map { $0 * 30 })
    }
    teacher.upload()
    let ids = Array(Tokenizer.bytes.encode(Self.proverbs).prefix(8))
    func distance(_ model: LanguageModel) -> Float {
      zip(model.logits(ids), teacher.logits(ids)).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }
    // The teacher computes on the student's backend.
    func distilled(_ share: Float) throws -> LanguageModel {
      var configuration = Self.configuration(steps: 60)
      configuration.distillation = Distillation(share: share)
      let student = try Self.trainer(in: nil).model
      let copy = try LanguageModel(teacher.configuration, on: student.backend)
      for (from, to) in zip(teacher.namedParameters, copy.namedParameters) {
        to.tensor.assign(from.tensor.array)
      }
      copy.upload()
      let text = TokenSequence(Tokenizer.bytes.encode(Self.proverbs))
      _ = try Trainer(
        student, tokenizer: .bytes, corpus: Corpus(training: text, validation: text),
        configuration: configuration, teacher: copy
      ).run()
      return student
    }
    let alone = try trained(nil)
    #expect(distance(try distilled(1)) < 0.8 * distance(alone))
    let unchanged = try distilled(0)
    #expect(zip(alone.logits(ids), unchanged.logits(ids)).allSatisfy { abs($0 - $1) < 1e-3 })
    #expect(throws: TrainingError.self) { try trained(Distillation()) }
    #expect(throws: TrainingError.self) { try trained(nil, teacher: teacher) }
    #expect(throws: TrainingError.self) { try trained(Distillation(), teacher: teacher) }
    #expect(throws: TrainingError.self) { try distilled(1.5) }
  }

  /// Interrupted at any step, before the first checkpoint too, and resumed: the same bytes.
  @Test(arguments: units, [1, 4, 6, 11])
  func resumedRunEndsWithTheSameBytes(unit: FeedForwardUnitKind, stop: Int) throws {
    try withTemporaryFolder { folder in
      let whole = try Self.trainer(unit, in: folder + "/whole")
      try whole.prepareOutput(resume: false) { _ in }
      let expected = try whole.run()
      #expect(!expected.wasInterrupted && expected.steps == 12)

      // A killed process leaves no checkpoint of its last steps: the error stands for it.
      let path = folder + "/killed"
      let killed = try Self.trainer(unit, in: path)
      try killed.prepareOutput(resume: false) { _ in }
      _ = try killed.run(isCancelled: { killed.step >= stop })
      if stop % 4 != 0 {
        for checkpoint in ModelFolder.checkpoints(in: path)
        where checkpoint.hasSuffix("\(stop)") { try Folder.remove(checkpoint) }
      }
      let resumed = try Self.trainer(unit, in: path)
      var resumedStep: Int?
      try resumed.prepareOutput(resume: true) {
        if case .resumed(let step) = $0 { resumedStep = step }
      }
      #expect(resumedStep == (stop < 4 ? nil : stop / 4 * 4))
      let summary = try resumed.run()
      #expect(summary.validation == expected.validation)
      for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        #expect(try bytes(path + "/" + name) == bytes(folder + "/whole/" + name))
      }
      #expect(try metricSteps(path) == metricSteps(folder + "/whole"))
    }
  }

  /// Interrupted within a step, of which nothing is kept, and resumed: the same bytes.
  @Test func aStepMayBeLeft() throws {
    try withTemporaryFolder { folder in
      let whole = try Self.trainer(in: folder + "/whole")
      try whole.prepareOutput(resume: false) { _ in }
      _ = try whole.run()
      let path = folder + "/left"
      let left = try Self.trainer(in: path)
      try left.prepareOutput(resume: false) { _ in }
      // Before every step it is asked once, and once between its two micro-batches.
      var asked = 0
      let summary = try left.run(isCancelled: {
        asked += left.step == 5 ? 1 : 0
        return asked > 1
      })
      #expect(summary.wasInterrupted && summary.steps == 5 && asked == 3)
      let resumed = try Self.trainer(in: path)
      try resumed.prepareOutput(resume: true) { _ in }
      _ = try resumed.run()
      #expect(
        try bytes(path + "/model.safetensors") == bytes(folder + "/whole/model.safetensors"))
      #expect(try metricSteps(path) == metricSteps(folder + "/whole"))
    }
  }

  /// What is needed at the end of training is looked at before it begins.
  @Test func oneTokenValidatesNothing() throws {
    let text = TokenSequence(Tokenizer.bytes.encode(Self.proverbs))
    let model = try Self.trainer(in: nil).model
    let error = #expect(throws: DataError.self) {
      try Trainer(
        model, tokenizer: .bytes, corpus: Corpus(training: text, validation: text[0..<1]),
        configuration: Self.configuration(steps: 2))
    }
    #expect(error?.code == .tooShort)
  }

  /// A run that was killed after its last checkpoint, before it had removed an old one.
  /// What stands beside the weights that a run begins with stands in its checkpoints and its model.
  @Test func textsOfTheFirstModelAreKept() throws {
    try withTemporaryFolder { folder in
      let first = folder + "/first"
      let files = [
        "tokenizer.json": Tokenizer.bytes.json,
        "tokenizer_config.json": Array(#"{"eos_token": "<|im_end|>"}"#.utf8),
        "chat_template.jinja": Array("{{ messages[0].content }}".utf8),
        "generation_config.json": Array(#"{"temperature": 0.6}"#.utf8),
      ]
      try Folder.create(first)
      for (name, text) in files { try AtomicFile.write(text, to: "\(first)/\(name)") }
      let plain = try Self.trainer(in: nil)
      let text = TokenSequence(Tokenizer.bytes.encode(Self.proverbs))
      let trainer = try Trainer(
        plain.model, tokenizer: .bytes, texts: TextFiles(ofModel: first),
        corpus: Corpus(training: text, validation: text), configuration: Self.configuration(),
        output: folder + "/run")
      _ = try trainer.run()
      let checkpoint = try #require(ModelFolder.checkpoints(in: folder + "/run").last)
      for (name, text) in files {
        #expect(try bytes("\(checkpoint)/\(name)") == text)
        #expect(try bytes("\(folder)/run/\(name)") == text)
      }
    }
  }

  @Test func resumedRunsKeepNoMoreCheckpoints() throws {
    try withTemporaryFolder { folder in
      let run = try Self.trainer(in: folder)
      try run.prepareOutput(resume: false) { _ in }
      _ = try run.run()
      let kept = ModelFolder.checkpoints(in: folder)
      try Folder.create(folder + "/checkpoint-000001")
      let resumed = try Self.trainer(in: folder)
      try resumed.prepareOutput(resume: true) { _ in }
      #expect(ModelFolder.checkpoints(in: folder).count == kept.count + 1)
      _ = try resumed.run()
      #expect(ModelFolder.checkpoints(in: folder) == kept)
    }
  }

  /// A folder belongs to its user as well: of it, what a killed run left half-written goes, and
  /// nothing else.
  @Test func whatIsNotTheRunsStays() throws {
    try withTemporaryFolder { folder in
      let kept = ["notes.tmp", "mine.tmp/thesis.txt", ".checkpoint-ideas/a.txt", "a.b.tmp"]
      let left = [".checkpoint-000004/config.json", "model.safetensors.123.tmp"]
      for path in kept + left {
        try Folder.create(Folder.parent(of: folder + "/" + path))
        try AtomicFile.write([1], to: folder + "/" + path)
      }
      try Self.trainer(in: folder).prepareOutput(resume: false) { _ in }
      for path in kept { #expect(Folder.kind(of: folder + "/" + path) == .file, "\(path)") }
      for path in left { #expect(Folder.kind(of: folder + "/" + path) == nil, "\(path)") }
    }
  }

  @Test func twoRunsDoNotShareAFolder() throws {
    try withTemporaryFolder { folder in
      let first = try Self.trainer(in: folder)
      try first.prepareOutput(resume: false) { _ in }
      let second = try Self.trainer(in: folder)
      let error = #expect(throws: FileError.self) {
        try second.prepareOutput(resume: false) { _ in }
      }
      #expect(error?.code == .inUse && error?.message.contains(folder) == true)
      _ = try first.run()
    }
  }

  /// A finished run that goes on has no model until it is finished again, but checkpoints.
  @Test func modelsOfRunsThatGoOnAreTheNewest() throws {
    try withTemporaryFolder { folder in
      let first = try Self.trainer(in: folder)
      try first.prepareOutput(resume: false) { _ in }
      _ = try first.run()
      #expect(try ModelFolder.locate(folder) == folder)
      let longer = try Self.trainer(in: folder, Self.configuration(steps: 20))
      try longer.prepareOutput(resume: true) { _ in }
      _ = try longer.run(isCancelled: { longer.step >= 15 })
      #expect(try ModelFolder.locate(folder) == folder + "/checkpoint-000015")
      let last = try Self.trainer(in: folder, Self.configuration(steps: 20))
      try last.prepareOutput(resume: true) { _ in }
      _ = try last.run()
      #expect(try ModelFolder.locate(folder) == folder)
    }
  }

  /// Of a model that no run here made, nothing is replaced or removed.
  @Test func modelsOfOthersAreNotResumed() throws {
    try withTemporaryFolder { folder in
      try ModelFolder.save(Self.trainer(in: nil).model, to: folder)
      let names = try Folder.names(in: folder)
      let error = #expect(throws: TrainingError.self) {
        try Self.trainer(in: folder).prepareOutput(resume: true) { _ in }
      }
      #expect(error?.code == .outputHoldsModel && error?.message.contains("no checkpoint") == true)
      #expect(try Folder.names(in: folder) == names)
    }
  }

  /// A checkpoint whose file tells of another step than its name is not the one to go on from.
  @Test(arguments: [-1, 8, 13]) func stepsAreThoseOfTheCheckpoint(step: Int) throws {
    try withTemporaryFolder { folder in
      let first = try Self.trainer(in: folder)
      try first.prepareOutput(resume: false) { _ in }
      _ = try first.run()
      let path = ModelFolder.checkpoints(in: folder).last! + "/trainer_state.json"
      let text = String(decoding: try bytes(path), as: UTF8.self)
      let damaged = text.replacing("\"step\" : 12", with: "\"step\" : \(step)")
      #expect(damaged != text)
      try AtomicFile.write(Array(damaged.utf8), to: path)
      var (notices, resumed) = ([String](), 0)
      try Self.trainer(in: folder).prepareOutput(resume: true) {
        if case .notice(let text) = $0 { notices.append(text) }
        if case .resumed(let found) = $0 { resumed = found }
      }
      #expect(
        notices.count == 1 && notices[0].contains("step \(step), expected 12") && resumed == 8)
    }
  }

  /// A run that nobody has prepared does not write over another.
  @Test func runsPrepareTheirFolder() throws {
    try withTemporaryFolder { folder in
      _ = try Self.trainer(in: folder).run()
      let model = try bytes(folder + "/model.safetensors")
      let error = #expect(throws: TrainingError.self) { try Self.trainer(in: folder).run() }
      #expect(error?.code == .outputExists)
      #expect(try bytes(folder + "/model.safetensors") == model)
    }
  }

  @Test func trainingLowersTheLoss() throws {
    let trainer = try Self.trainer(in: nil, Self.configuration(steps: 120))
    var losses: [Double] = []
    _ = try trainer.run(observe: { if case .step(let report) = $0 { losses.append(report.loss) } })
    #expect(losses.count == 120)
    // Untrained, a byte costs about ln 257 = 5.5 nats; two proverbs are learned in no time.
    #expect(losses[0] > 5 && losses.suffix(10).allSatisfy { $0 < 3 })
  }

  @Test func microBatchesAreOneBatch() throws {
    var configuration = Self.configuration(steps: 1)
    configuration.optimizer.clipNorm = 0
    let halves = try Self.trainer(.glu, in: nil, configuration)
    configuration.batchSize = 6
    configuration.gradientAccumulation = 1
    let whole = try Self.trainer(.glu, in: nil, configuration)
    let (a, b) = (try halves.run(), try whole.run())
    let difference = try abs(#require(a.trainingLoss) - #require(b.trainingLoss))
    // Six windows in another order of float32 sums.
    #expect(difference < 1e-6)
  }

  @Test func corruptCheckpointFallsBackToTheOneBefore() throws {
    try withTemporaryFolder { folder in
      let first = try Self.trainer(in: folder)
      try first.prepareOutput(resume: false) { _ in }
      _ = try first.run()
      let expected = try bytes(folder + "/model.safetensors")
      #expect(
        ModelFolder.checkpoints(in: folder).map(Folder.name) == [
          "checkpoint-000008", "checkpoint-000012",
        ])
      var damaged = try bytes(folder + "/checkpoint-000012/optimizer.safetensors")
      damaged[damaged.count / 2] ^= 1
      try AtomicFile.write(damaged, to: folder + "/checkpoint-000012/optimizer.safetensors")
      let second = try Self.trainer(in: folder)
      var (notices, step) = ([String](), 0)
      try second.prepareOutput(resume: true) {
        if case .notice(let text) = $0 { notices.append(text) }
        if case .resumed(let found) = $0 { step = found }
      }
      #expect(notices.count == 1 && notices[0].contains("checkpoint-000012") && step == 8)
      _ = try second.run()
      #expect(try bytes(folder + "/model.safetensors") == expected)

      try Folder.remove(folder + "/checkpoint-000008/trainer_state.json")
      try AtomicFile.write([], to: folder + "/checkpoint-000012/trainer_state.json")
      let third = try Self.trainer(in: folder)
      let error = #expect(throws: TrainingError.self) {
        try third.prepareOutput(resume: true) { _ in }
      }
      #expect(error?.code == .noUsableCheckpoint)
    }
  }

  @Test func runsAreNotMixedUp() throws {
    try withTemporaryFolder { folder in
      let first = try Self.trainer(in: folder)
      try first.prepareOutput(resume: false) { _ in }
      _ = try first.run()
      func error(_ trainer: Trainer, resume: Bool = true) -> TrainingError? {
        #expect(throws: TrainingError.self) {
          try trainer.prepareOutput(resume: resume) { _ in }
        }
      }
      #expect(error(try Self.trainer(in: folder), resume: false)?.code == .outputExists)
      var other = Self.configuration()
      other.seed = 8
      var merging = BPETrainer()
      merging.add(Self.proverbs)
      let longer = try merging.train(vocabularySize: 258)
      let cases: [(Trainer, String)] = [
        (try Self.trainer(in: folder, other), "other settings: seed 8, not 7"),
        (
          try Self.trainer(in: folder, text: Self.proverbs.uppercased()),
          "other settings: other training data; other validation data"
        ),
        (try Self.trainer(.glu, in: folder), "num_masks none, not 3"),
        (
          try Self.trainer(.mglu(.init(count: 2)), in: folder),
          "other settings: num_masks 2, not 3"
        ),
        (
          try Self.trainer(in: folder, tokenizer: longer),
          "other settings: vocab_size 258, not 257; another tokenizer"
        ),
      ]
      for (trainer, words) in cases {
        let found = error(trainer)
        #expect(found?.code == .disagreement)
        #expect(found?.message.contains(words) == true, "\(found?.message ?? "")")
      }
    }
  }

  /// The settings of a run are known to who resumes it.
  @Test func settingsOfRunsAreFound() throws {
    try withTemporaryFolder { folder in
      #expect(TrainingConfiguration(ofRunIn: folder) == nil)
      let trainer = try Self.trainer(in: folder)
      try trainer.prepareOutput(resume: false) { _ in }
      _ = try trainer.run()
      #expect(TrainingConfiguration(ofRunIn: folder)?.warmupSteps == 3)
    }
  }

  @Test func numbersThatAreNotFiniteAreLocated() throws {
    let trainer = try Self.trainer(in: nil)
    let parameter = try #require(
      trainer.model.namedParameters.first { $0.name.hasSuffix("layers.1.mlp.up_proj.weight") })
    parameter.tensor.withMutableFloats { $0[3] = .nan }
    let error = #expect(throws: TrainingError.self) { try trainer.run() }
    // Not of the run's making: it began so.
    #expect(error?.code == .setting)
    #expect(error?.message.contains(parameter.name) == true)

    // Finite weights whose products overflow.
    let diverging = try Self.trainer(in: nil)
    diverging.model.weights.layers[1].down.withMutableFloats { elements in
      for index in elements.indices { elements[index] = 3e38 }
    }
    let second = #expect(throws: TrainingError.self) { try diverging.run() }
    #expect(second?.code == .nonFinite && second?.message.contains("step 1") == true)
    #expect(second?.message.contains("the feed-forward block of layer 1") == true)
  }

  @Test(
    arguments: [
      { $0.steps = 0 }, { $0.batchSize = 0 }, { $0.learningRate = -1 }, { $0.learningRate = .nan },
      { $0.minimumLearningRate = 1 }, { $0.warmupSteps = -1 }, { $0.keptCheckpoints = 0 },
      { $0.contextLength = 9 }, { $0.optimizer.epsilon = 0 },
      { ($0.steps, $0.gradientAccumulation) = (1 << 39, 1 << 39) },
    ] as [@Sendable (inout TrainingConfiguration) -> Void])
  func settingsOutOfRangeAreRefused(change: @Sendable (inout TrainingConfiguration) -> Void) {
    var configuration = Self.configuration()
    change(&configuration)
    let error = #expect(throws: TrainingError.self) {
      try Self.trainer(in: nil, configuration)
    }
    #expect(error?.code == .setting)
  }
}

private func bytes(_ path: String) throws -> [UInt8] { try MappedFile(path: path).contents }

/// The steps of metrics.jsonl's lines, as they stand.
private func metricSteps(_ folder: String) throws -> [Substring] {
  String(decoding: try bytes(folder + "/metrics.jsonl"), as: UTF8.self).split(separator: "\n")
    .compactMap { $0.split(separator: "\"step\":").last?.prefix { $0.isNumber } }
}
