/// Trains a model: random windows, AdamW under warm-up and cosine, validation, checkpoints.
///
/// A step is a pure function of the model, the moments, the seed and the step's number, so a run
/// that was killed and resumed ends with the same bytes as one that was not.
///
/// Several ranks share a step where there is a communicator: each computes some of its micro-batches and
/// updates its share of the parameters. Rank 0 alone writes, and the bytes are those of one rank.
public final class Trainer {
  /// The model.
  public let model: LanguageModel
  /// The settings.
  public let configuration: TrainingConfiguration
  /// Steps done.
  public private(set) var step = 0

  let communicator: (any Communicator)?
  let optimizer: AdamW
  let activations: ModelActivations
  let windows: BatchSampler
  let teacher: Teacher?
  private let tokenizer: Tokenizer
  private let texts: TextFiles
  private let corpus: Corpus
  let output: RunFolder?
  /// Whether float32 parameters of other ranks' shares, or those on the host, are of an earlier step.
  private var hasStaleMasters = false
  private var lock: FolderLock?
  private var isPrepared = false
  /// Moments of a checkpoint that ranks are to get yet.
  private var restored: AdamW.HostMoments?
  private let evaluator: Evaluator
  private var telemetry: MaskTelemetry?
  private let telemetryInterval: Int
  private let writesTensorBoard: Bool

  /// Memory for a run on `corpus`.
  ///
  /// - Parameters:
  ///   - model: An initialized model, whose vocabulary is the tokenizer's. The ranks of `communicator` may
  ///     share its parameters.
  ///   - tokenizer: Makes tokens of text; stored beside the model.
  ///   - texts: The files beside the weights of the model that the run begins with, stored in place of the
  ///     tokenizer's alone: its special tokens, its chat template, how it generates. They have the same
  ///     tokenizer.
  ///   - corpus: The tokens to learn from and to validate on.
  ///   - configuration: The settings.
  ///   - output: Where checkpoints, metrics and the final model go; `nil` writes nothing. Rank 0 alone
  ///     writes, but a folder, or none, is given on all.
  ///   - tensorBoard: Whether an event file lies next to the metrics.
  ///   - recomputesActivations: Whether the backward pass computes activations again in place of
  ///     keeping them: some 30 % slower, in a fraction of the memory, with equal results.
  ///   - teacher: A model on the same backend and of the same vocabulary, where the configuration has a
  ///     distillation.
  ///   - communicator: What connects the ranks, each of which makes a trainer of the same settings; there
  ///     are at most as many as micro-batches in a step. `nil` for one.
  public convenience init(
    _ model: LanguageModel, tokenizer: Tokenizer, texts: TextFiles? = nil, corpus: Corpus,
    configuration: TrainingConfiguration, output: String? = nil, tensorBoard: Bool = false,
    recomputesActivations: Bool = false, teacher: LanguageModel? = nil,
    communicator: (any Communicator)? = nil
  ) throws {
    try self.init(
      model, tokenizer: tokenizer, texts: texts, corpus: corpus, configuration: configuration,
      output: output, tensorBoard: tensorBoard, recomputesActivations: recomputesActivations,
      teacher: teacher, communicator: communicator,
      telemetryInterval: MaskTelemetry.interval)
  }

  package init(
    _ model: LanguageModel, tokenizer: Tokenizer, texts: TextFiles? = nil, corpus: Corpus,
    configuration: TrainingConfiguration, output: String?, tensorBoard: Bool = false,
    recomputesActivations: Bool = false, teacher: LanguageModel? = nil,
    communicator: (any Communicator)? = nil, telemetryInterval: Int
  ) throws {
    try configuration.validate()
    if let group = communicator?.group { try configuration.requireMicroBatches(for: group) }
    guard model.sharded == nil || model.sharded?.communicator === communicator else {
      throw TrainingError(
        .setting, "a model whose parameters other ranks share",
        remedy: "give the communicator that the model was made with")
    }
    guard configuration.contextLength <= model.configuration.contextLength else {
      throw TrainingError(
        .setting,
        "a context of \(configuration.contextLength) is longer than the model's "
          + "\(model.configuration.contextLength)")
    }
    self.model = model
    self.tokenizer = tokenizer
    self.texts = texts ?? TextFiles(tokenizer)
    self.corpus = corpus
    self.configuration = configuration
    self.output = output.map { RunFolder(path: $0) }
    self.communicator = communicator
    telemetry =
      output == nil || communicator?.group.isLeader == false ? nil : MaskTelemetry(model)
    self.telemetryInterval = telemetryInterval
    writesTensorBoard = tensorBoard
    let vocabulary = model.configuration.vocabularySize
    windows = try BatchSampler(
      corpus.training, length: configuration.contextLength, vocabularySize: vocabulary,
      name: "training")
    try windows.requireWholeWindow()
    // What the end of training needs should not be missed there.
    _ = try BatchSampler(
      corpus.validation, length: configuration.contextLength, vocabularySize: vocabulary,
      name: "validation")
    // Data of another tokenizer should not wait for an unlucky step; the rest is checked as it is
    // read.
    for tokens in [corpus.training, corpus.validation] {
      _ = try tokens.ids(0..<min(tokens.count, 1 << 20), vocabularySize: vocabulary)
    }
    optimizer = AdamW(
      configuration.optimizer, for: model, microBatches: configuration.gradientAccumulation,
      communicator: communicator)
    activations = model.makeActivations(
      sequences: configuration.batchSize, length: configuration.contextLength,
      purpose: recomputesActivations ? .recomputingTraining : .training)
    evaluator = Evaluator(
      model, tokenizer: tokenizer, activations: activations, ranks: communicator?.group)
    self.teacher = try Self.teacher(teacher, for: model, configuration)
  }

  private static func teacher(
    _ teacher: LanguageModel?, for model: LanguageModel, _ configuration: TrainingConfiguration
  ) throws(TrainingError) -> Teacher? {
    guard let teacher, let distillation = configuration.distillation else {
      guard teacher == nil, configuration.distillation == nil else {
        throw TrainingError(
          .setting,
          teacher == nil ? "distillation without a teacher" : "a teacher without distillation",
          remedy: "give both or neither")
      }
      return nil
    }
    let (own, other) = (model.configuration, teacher.configuration)
    guard own.vocabularySize == other.vocabularySize, teacher.backend === model.backend else {
      throw TrainingError(
        .setting,
        teacher.backend === model.backend
          ? "the teacher's vocabulary of \(other.vocabularySize) tokens: expected \(own.vocabularySize)"
          : "the teacher is on \(teacher.backend.summary): expected \(model.backend.summary)",
        remedy: "give a teacher of the same tokenizer")
    }
    guard configuration.contextLength <= other.contextLength else {
      throw TrainingError(
        .setting,
        "a context of \(configuration.contextLength) is longer than the teacher's "
          + "\(other.contextLength)")
    }
    return Teacher(
      teacher, distillation, sequences: configuration.batchSize,
      length: configuration.contextLength)
  }

  /// Whether this rank writes.
  private var isLeader: Bool { communicator?.group.isLeader ?? true }

  /// Refuses an output folder that holds a run, unless it is to be resumed; then goes on from its
  /// newest whole checkpoint, or starts anew where there is none. Of several ranks rank 0 does so, and
  /// ``run(observe:isCancelled:)`` brings the others to where it is.
  public func prepareOutput(resume: Bool, observe: (TrainingEvent) -> Void) throws {
    guard let output, isLeader else { return }
    if !resume, output.holdsModel, ModelFolder.checkpoints(in: output.path).isEmpty {
      throw TrainingError(
        .outputHoldsModel, "\(output.path) holds a model",
        remedy: "choose another output folder; a run can begin with a model")
    }
    guard resume || !output.holdsRun else {
      throw TrainingError(
        .outputExists, "\(output.path) holds a run already",
        remedy: "resume it, or choose another output folder")
    }
    try Folder.create(output.path)
    let lock = try FolderLock(output.path)
    try output.removeUnfinished()
    if resume { try restore(from: output, observe: observe) }
    self.lock = consume lock
    isPrepared = true
  }

  private func restore(from output: RunFolder, observe: (TrainingEvent) -> Void) throws {
    let moments = optimizer.hostMoments(model)
    let found = try output.restore(
      model, tokenizer: tokenizer, moments: moments, expected: state
    ) {
      observe(.notice($0))
    }
    guard let found else {
      // A run has a model only once it has a checkpoint.
      guard !output.holdsModel else {
        throw TrainingError(
          .outputHoldsModel, "\(output.path) holds a model, but no checkpoint to resume from",
          remedy: "choose another output folder; a run can begin with a model")
      }
      observe(.notice("\(output.path) has no checkpoint to resume from: starting anew"))
      return
    }
    step = found.state.step
    if communicator == nil { try optimizer.scatter(moments, model) } else { restored = moments }
    if let choices = found.state.choices { model.backend.tunedAlgorithms = choices }
    if let masks = found.masks { telemetry?.restore(masks) }
    observe(.resumed(step: step))
    let before = found.state.configuration.steps
    if before != configuration.steps, step < configuration.steps {
      observe(
        .notice(
          "the learning rate follows \(configuration.steps) steps from here on, where it followed "
            + "\(before)"))
    }
  }

  private var state: RunFolder.State {
    RunFolder.State(
      step: step, configuration: configuration, trainingData: corpus.training.fingerprint,
      validationData: corpus.validation.fingerprint,
      choices: model.backend.tunedAlgorithms.isEmpty ? nil : model.backend.tunedAlgorithms)
  }

  /// Trains to the last step. When `isCancelled` becomes true it saves and returns early. An output folder that
  /// ``prepareOutput(resume:observe:)`` has not prepared is prepared for a new run.
  public func run(
    observe: (TrainingEvent) -> Void = { _ in }, isCancelled: () -> Bool = { false }
  ) throws -> TrainingSummary {
    if !isPrepared { try prepareOutput(resume: false, observe: observe) }
    defer { lock = nil }
    let clock = ContinuousClock()
    let start = clock.now
    try meet()
    let firstStep = step
    var trainingTime = Duration.zero
    var recentLosses: [Double] = []
    var validation: EvaluationResult?
    var savedStep = step
    let metrics =
      try isLeader
      ? output.map {
        try MetricsLog(folder: $0.path, keepingThrough: step, tensorBoard: writesTensorBoard)
      } : nil

    func validate() throws -> Bool {
      guard let result = try validationResult(isCancelled: isCancelled) else { return false }
      validation = result
      guard metrics?.validatedStep != step else { return true }
      try metrics?.append(.init(step: step, result))
      observe(.validation(step: step, result))
      return true
    }
    func save() throws {
      guard let output, savedStep != step else { return }
      try gatherMasters()
      let moments = try optimizer.gatherMoments(model)
      savedStep = step
      guard let moments else { return }
      model.download()
      defer { if step < configuration.steps { releaseWeights() } }
      try metrics?.sync()
      let path = try output.save(
        model, texts: texts, moments: moments, masks: telemetry?.referenceBytes,
        state: state, keep: configuration.keptCheckpoints)
      observe(.saved(step: step, path: path))
    }
    func measureMasks() throws {
      guard let report = try telemetry?.measure(step: step) else {
        if output != nil, model.configuration.feedForward.unit.masks != nil, model.sharded != nil {
          try model.forEachLayer { _ in }
        }
        return
      }
      try metrics?.append(.init(step: step, report))
    }
    func summary(interrupted: Bool) -> TrainingSummary {
      let seconds = trainingTime / .seconds(1)
      let tokens = Double((step - firstStep) * configuration.tokensPerStep)
      return TrainingSummary(
        steps: step,
        trainingLoss: recentLosses.isEmpty
          ? nil : recentLosses.reduce(0, +) / Double(recentLosses.count),
        validation: validation, tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
        seconds: (clock.now - start) / .seconds(1), wasInterrupted: interrupted)
    }
    func end(interrupted: Bool) throws -> TrainingSummary {
      // Another trainer may have the communicator next, with tensors of the same names.
      try communicator?.finish()
      communicator?.forget()
      return summary(interrupted: interrupted)
    }

    if step < configuration.steps, isLeader { try output?.withdrawModel() }
    if step == 0 { try measureMasks() }
    // A validation that Ctrl-C cut short is made up for.
    let isLate = try isAgreed(metrics != nil && metrics?.validatedStep != step)
    if step > 0, step < configuration.steps, isLate, isDue(configuration.evaluateEvery) {
      _ = try validate()
    }
    while step < configuration.steps {
      if try isAgreed(isCancelled()) {
        try save()
        return try end(interrupted: true)
      }
      let before = clock.now
      guard let (loss, norm) = try trainStep(isCancelled: isCancelled) else { continue }
      trainingTime += clock.now - before
      recentLosses = recentLosses.suffix(49) + [loss]
      let report = StepReport(
        step: step, loss: loss, learningRate: configuration.schedule[step - 1],
        gradientNorm: norm, tokensPerSecond: summary(interrupted: false).tokensPerSecond)
      try metrics?.append(.init(report))
      observe(.step(report))
      if isDue(telemetryInterval) { try measureMasks() }
      guard step < configuration.steps else { break }
      if isDue(configuration.evaluateEvery) { _ = try validate() }
      if isDue(configuration.saveEvery) { try save() }
    }
    try save()
    guard try validate() else { return try end(interrupted: true) }
    try gatherMasters()
    model.download()
    if isLeader {
      try output?.saveModel(model, texts: texts)
      // A run that was killed before it could remove one, too, ends with as many as any other.
      try output?.removeOld(keep: configuration.keptCheckpoints)
    }
    // Until everything is written a rank that ends is a rank lost.
    _ = try isAgreed(false)
    return try end(interrupted: false)
  }

  private func isDue(_ interval: Int) -> Bool { interval > 0 && step % interval == 0 }

  private func validationResult(isCancelled: () -> Bool) throws -> EvaluationResult? {
    var tokens = corpus.validation
    if configuration.evaluationTokens > 0 {
      tokens = tokens[0..<configuration.evaluationTokens + 1]
    }
    return try evaluator.evaluate(tokens, isCancelled: isCancelled)
  }

  /// One optimizer step: the mean loss of its tokens and the norm of its gradient. Nothing, and no step,
  /// where `isCancelled` says so between micro-batches: of a long step little time may be left. Several
  /// ranks finish it, for they would have to agree.
  private func trainStep(
    isCancelled: () -> Bool
  ) throws -> (loss: Double, gradientNorm: Double)? {
    let tokens = Double(configuration.tokensPerStep)
    let (rank, ranks) = (communicator?.group.rank ?? 0, communicator?.group.size ?? 1)
    // Of the own micro-batches, in the order of rounds.
    var losses: [Double] = []
    func collectLoss() throws {
      try communicator?.finish()
      try model.backend.finish()
      losses.append(
        activations.losses.withFloats { losses in
          losses.indices.reduce(0.0) { $0 + Double(losses[$1]) }
        })
    }
    for round in 0..<optimizer.sum.rounds {
      let part = round * ranks + rank
      guard part < configuration.gradientAccumulation else {
        optimizer.computeGradients(round: round) { _, completed in
          model.accompany(isTraining: true, completed: completed)
        }
        continue
      }
      if round > 0 { try collectLoss() }
      if communicator == nil, round > 0, isCancelled() { return nil }
      try windows.draw(seed: configuration.seed, step: step, part: part, into: activations.batch)
      optimizer.computeGradients(round: round) { gradients, completed in
        model.lossAndGradients(
          activations, into: gradients, scale: Float(1 / tokens), teacher: teacher,
          completed: completed)
      }
    }
    optimizer.step(model, learningRate: configuration.schedule[step], step: step + 1)
    hasStaleMasters = communicator != nil
    try collectLoss()
    let loss = try sumOfLosses(losses)
    let norm = optimizer.gradientNorm
    guard loss.isFinite, norm.isFinite else { throw try nonFinite(loss: loss / tokens) }
    step += 1
    return (loss / tokens, norm)
  }

  /// The error of the first number that is not finite, with its place and a remedy.
  private func nonFinite(loss: Double) throws -> TrainingError {
    let count = model.deviceWeights.named.count
    let weight = try firstNonFinite(in: model.masterParameters, Array(0..<count))
    let gradient = try firstNonFinite(in: optimizer.sum.sum, (0..<count).reversed())
    let place =
      if let weight {
        "in the weights of \(weight)"
      } else if let found = model.firstNonFinite(activations) {
        "in \(found)"
      } else {
        "in the gradient of \(gradient ?? "the model")"
      }
    if step == 0, let weight {
      return TrainingError(
        .setting,
        "the model has numbers that are not finite: the first is in the weights of \(weight)",
        remedy: "begin with another model")
    }
    return TrainingError(
      .nonFinite,
      "step \(step + 1): the \(loss.isFinite ? "gradient" : "loss") is not finite: "
        + "the first such number is \(place)",
      remedy: "start anew with a lower learning rate or a longer warm-up")
  }

  // Several ranks ----------------------------------------------------------------------------------

  /// Brings every rank to where rank 0 is: its step, parameters, moments and algorithms.
  private func meet() throws {
    guard let communicator else { return }
    try requireAgreement(data: [corpus.training.fingerprint, corpus.validation.fingerprint])
    step = try agreedStep(step)
    let isRestored = try isAgreed(restored != nil)
    if model.sharded == nil {
      try model.broadcast(through: communicator)
    } else {
      try optimizer.scatterParameters(model)
      releaseWeights()
    }
    if isRestored { try optimizer.scatter(restored, model) }
    restored = nil
    if step < configuration.steps { try agreeOnAlgorithms(at: step) }
  }

  /// Brings the float32 parameters to every rank, or, where ranks share them, to rank 0's host.
  private func gatherMasters() throws {
    guard let communicator, hasStaleMasters else { return }
    if model.sharded == nil {
      try model.gatherMasters(in: optimizer.shares, through: communicator)
    } else {
      try optimizer.gatherParameters(model)
    }
    hasStaleMasters = false
  }

  /// Frees the parameters on the host where ranks share them.
  private func releaseWeights() {
    guard model.sharded != nil else { return }
    model.releaseWeights()
    hasStaleMasters = true
  }
}
