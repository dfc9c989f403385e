import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu train`.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a language model on text.",
    discussion: """
      Examples:
        mglu train --data input.txt --output run
        mglu train --data input.txt --ffn swimglu --masks 4 --steps 5000 --output run
        mglu train --data input.txt --steps 5000 --output run --resume
        mglu train --data shards/ --tokenizer gpt2/tokenizer.json --output run
        mglu train --data input.txt --init mglu --learning-rate 3e-4 --output run
        mglu train --data input.txt --init mglu --distill swiglu --output run
        mglu train --data input.txt --preset paper-small --device cuda --output run
        mglu train --data input.txt --gpus all --gradient-accumulation 4 --output run
        mglu train --data input.txt --init llama/ --gpus 8 --shard --output run

      --data takes a text file, a JSONL file with a "text" in each line, a folder of these, or \
      token shards (.bin, of llm.c or nanoGPT). Without --valid the last tenth is kept for \
      validation. Ctrl-C saves a checkpoint; --resume goes on from it, on any number of GPUs.

      Several GPUs share the micro-batches of a step, of which there must be as many: the options \
      decide the result, not the number of GPUs. Each steps a share of the parameters; with --shard it \
      keeps no more of them, and of the gradients, but for two layers at a time, embedding and head. \
      Under torchrun (--no-python), srun and mpirun each \
      process is one of them, on one machine or several.
      """)

  @Option(help: "Text, JSONL, token shards, or a folder of them.", completion: .file())
  var data: String
  @Option(help: "Validation data (default: the last tenth of --data).", completion: .file())
  var valid: String?
  @Option(help: "Folder of the checkpoints, the metrics and the model.", completion: .directory)
  var output: String
  @Option(
    help: "byte, a tokenizer.json or a model (default: that of --init, or byte).",
    completion: .file())
  var tokenizer: String?
  @Option(
    name: .customLong("init"),
    help: "Begin with the weights of this folder or GGUF file, and their shape.",
    completion: .file())
  var initial: String?
  @Option(
    help: "A model to learn from beside the text, of the same tokenizer.", completion: .directory)
  var distill: String?
  @Option(help: "Share of the loss that is the teacher's, 0 to 1 (default: 0.5).")
  var distillWeight: Float?
  @Option(help: "Temperature of both models' logits in that share (default: 1).")
  var distillTemperature: Float?
  @OptionGroup(title: "Model") var shape: ShapeOptions
  @OptionGroup(title: "Training") var training: TrainingOptions
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
  @OptionGroup var ranks: RankOptions
  @Flag(help: RankOptions.shardHelp) var shard = false
  @Flag(help: "Compute activations again in the backward pass: slower, in less memory.")
  var recompute = false
  @Flag(help: "Go on from the newest checkpoint in --output.") var resume = false
  @Flag(
    name: .customLong("tensorboard"), help: "Write TensorBoard event files next to metrics.jsonl.")
  var tensorBoard = false
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    if initial != nil, !shape.isEmpty {
      throw ValidationError("--init has a shape: leave out the options under Model")
    }
    if distill == nil, distillWeight != nil || distillTemperature != nil {
      throw ValidationError("--distill-weight and --distill-temperature belong to --distill")
    }
  }

  func run() throws {
    let microBatches = training.gradientAccumulation
    if try ranks.startRanks(on: device, microBatches: microBatches) { return }
    try RankProcess.run(of: self) { try train($0, $1) }
  }

  private func train(_ launch: RankLaunch?, _ group: RankGroup?) throws {
    let isLeader = group?.isLeader ?? true
    let backend = try ranks.device(device, of: launch).trainingBackend(
      threads: ranks.threads(threads, of: launch), notes: isLeader)
    let source = try initial.map { folder throws(CheckpointError) in
      try ModelFolder.locate(folder)
    }
    let tokenizer = try Tokenizer.named(tokenizer ?? source ?? "byte")
    let texts = try source.flatMap { try self.texts(of: $0, for: tokenizer) }
    let communicator = try group.map { try backend.communicator(of: $0) }
    let begun = try begunWarmupSteps(group)
    let model = try model(
      from: source, tokenizer: tokenizer, warmupSteps: begun, on: backend,
      communicator: communicator)
    let configuration = model.configuration
    let settings = try settings(contextLength: configuration.contextLength, warmupSteps: begun)
    let corpus = try Corpus(contentsOf: data, validation: valid, tokenizer: tokenizer)
    let trainer = try Trainer(
      model, tokenizer: tokenizer, texts: texts, corpus: corpus, configuration: settings,
      output: output, tensorBoard: tensorBoard, recomputesActivations: recompute,
      teacher: try distill.map { try ModelFolder.load(ModelFolder.locate($0), on: backend) },
      communicator: communicator)

    var progress = TrainingProgress(settings, isShown: isLeader)
    try trainer.prepareOutput(resume: resume) { progress.show($0) }
    progress.note(
      backend.summary
        + (communicator.map { ", \($0.group.size) ranks over \($0.summary)" } ?? "")
        + (model.sharded == nil ? "" : ", sharing the parameters"))
    if shard, model.sharded == nil {
      progress.note("--shard: one process has the whole model, as without it")
    }
    let count: (Int) -> String = NumberFormat.grouped
    let isPart = training.evalTokens > 0 && training.evalTokens < corpus.validation.count - 1
    progress.note(
      "\(configuration.summary); \(count(corpus.training.count)) training and "
        + "\(count(corpus.validation.count)) validation tokens"
        + (isPart ? ", of which the first \(count(training.evalTokens)) (--eval-tokens)" : ""))
    if settings.warmupSteps >= settings.steps {
      progress.note(
        "\(count(settings.steps)) steps end within the warm-up of \(count(settings.warmupSteps)): the "
          + "learning rate stays below --learning-rate")
    }
    if let note = try Corpus.noteOfFilesLeftOut(data) { progress.note(note) }
    if source != nil, texts == nil {
      progress.note(
        "--tokenizer is not that of --init, whose special tokens and chat template are left out")
    }
    Interrupt.listen()
    let summary = try trainer.run(
      observe: { progress.show($0) }, isCancelled: { Interrupt.isRequested })
    progress.finish()
    if summary.wasInterrupted {
      progress.note("interrupted at step \(summary.steps): go on with --resume")
      throw ExitCode(Interrupt.exitStatus)
    }
    guard isLeader else { return }
    if json {
      Output.json(TrainingDocument(summary))
    } else {
      Output.line(summary.sentence)
      Output.line("model: \(output)")
    }
  }
}

extension TrainCommand {
  /// The warm-up of the run that goes on, where none is given: what follows from the steps is that of the
  /// run's beginning. Rank 0 knows it; other machines need not have its folder.
  private func begunWarmupSteps(_ group: RankGroup?) throws -> Int? {
    let isOpen = training.warmupSteps == nil
    let own = resume && isOpen ? TrainingConfiguration(ofRunIn: output)?.warmupSteps : nil
    guard let group else { return own }
    // Every rank asks, whatever its options are: ranks of other options are named later.
    let bytes = try group.broadcast(Array((own.map(String.init) ?? "").utf8))
    return isOpen ? Int(String(decoding: bytes, as: UTF8.self)) : nil
  }

  /// The settings of a run over windows of at most `contextLength` tokens.
  private func settings(
    contextLength: Int, warmupSteps: Int?
  ) throws -> TrainingConfiguration {
    var settings = try training.configuration(contextLength: contextLength)
    if let warmupSteps { settings.warmupSteps = warmupSteps }
    if distill != nil {
      let usual = Distillation()
      settings.distillation = Distillation(
        share: distillWeight ?? usual.share,
        temperature: distillTemperature ?? usual.temperature)
      try settings.validate()
    }
    return settings
  }

  /// What stands beside the weights of the model in `folder`, where it has the same tokenizer.
  private func texts(of folder: String, for tokenizer: Tokenizer) throws -> TextFiles? {
    guard self.tokenizer == nil || (try? Tokenizer(contentsOf: folder))?.json == tokenizer.json
    else { return nil }
    return try TextFiles(ofModel: folder)
  }

  /// The model in `folder`, which must know the tokenizer's tokens, or a new one.
  private func model(
    from folder: String?, tokenizer: Tokenizer, warmupSteps: Int?,
    on backend: any TrainingBackend, communicator: (any Communicator)?
  ) throws -> LanguageModel {
    let configuration =
      if let folder {
        try ModelFolder.configuration(in: folder)
      } else {
        try shape.configuration(tokenizer: tokenizer, context: training.context)
      }
    // Before anything of that size is allocated.
    let settings = try settings(
      contextLength: configuration.contextLength, warmupSteps: warmupSteps)
    func memory(_ configuration: ModelConfiguration, _ purpose: ActivationPurpose) -> TrainingMemory
    {
      TrainingMemory(
        configuration, sequences: settings.batchSize, length: settings.contextLength,
        purpose: purpose, microBatches: settings.gradientAccumulation,
        ranks: communicator?.group.size ?? 1, isSharded: shard, on: backend)
    }
    let teacher = try distill.map { name throws(CheckpointError) in
      memory(try ModelFolder.configuration(in: ModelFolder.locate(name)), .evaluation).forward
    }
    try memory(configuration, recompute ? .recomputingTraining : .training)
      .check(on: backend, beside: teacher ?? 0)
    let sharing = shard ? communicator : nil
    if let folder {
      let model = try ModelFolder.load(folder, sharing: sharing, on: backend)
      try tokenizer.check(for: model.configuration, folder: folder)
      return model
    }
    let model = try LanguageModel(configuration, sharing: sharing, on: backend)
    model.initialize(seed: training.seed)
    return model
  }
}

/// The output of `mglu train --json`.
private struct TrainingDocument: Encodable {
  let steps: Int
  let trainLoss: Double?
  let validationLoss: Double?
  let validationPerplexity: Double?
  let bitsPerByte: Double?
  let tokensPerSecond: Double
  let seconds: Double

  enum CodingKeys: CodingKey {
    case steps, trainLoss, validationLoss, validationPerplexity, bitsPerByte, tokensPerSecond
    case seconds
  }

  init(_ summary: TrainingSummary) {
    steps = summary.steps
    trainLoss = summary.trainingLoss
    validationLoss = summary.validation?.loss
    validationPerplexity = summary.validation?.perplexity
    bitsPerByte = summary.validation?.bitsPerByte
    tokensPerSecond = summary.tokensPerSecond
    seconds = summary.seconds
  }

  /// Every key, null where there is no number.
  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(steps, forKey: .steps)
    try container.encode(trainLoss, forKey: .trainLoss)
    try container.encode(validationLoss, forKey: .validationLoss)
    try container.encode(validationPerplexity, forKey: .validationPerplexity)
    try container.encode(bitsPerByte, forKey: .bitsPerByte)
    try container.encode(tokensPerSecond, forKey: .tokensPerSecond)
    try container.encode(seconds, forKey: .seconds)
  }
}
