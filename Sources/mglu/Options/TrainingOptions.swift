import ArgumentParser
import MGLUTraining

/// The settings of `mglu train` that shape the run.
struct TrainingOptions: ParsableArguments {
  @Option(help: "Optimizer steps.") var steps = 2000
  @Option(help: "Sequences of a micro-batch.") var batchSize = 12
  @Option(help: "Tokens of a window (default: the preset's).") var context: Int?
  @Option(help: "Micro-batches whose gradients make one step.") var gradientAccumulation = 1
  @Option(help: "Learning rate after the warm-up.") var learningRate = 1e-3
  @Option(help: "Learning rate at the end (default: a tenth of it).")
  var minLearningRate: Double?
  @Option(help: "Steps over which the learning rate rises (default: 100, at most a tenth).")
  var warmupSteps: Int?
  @Option(help: "Decoupled decay of all weights but norms and biases.")
  var weightDecay: Float = 0.1
  @Option(help: "Decay of AdamW's first moment.") var beta1: Float = 0.9
  @Option(help: "Decay of AdamW's second moment.") var beta2: Float = 0.99
  @Option(help: "Largest gradient norm; 0 for no clipping.") var clipNorm: Float = 1
  @Option(help: "Seed of the initial weights and of the windows drawn.") var seed: UInt64 = 1
  @Option(help: "Steps between validations; 0 for one at the end.") var evalEvery = 250
  @Option(help: "Maximum validation tokens to predict; 0 for all.")
  var evalTokens = 1 << 18
  @Option(help: "Steps between checkpoints; 0 for one at the end.") var saveEvery = 500
  @Option(help: "Checkpoints to keep.") var keepCheckpoints = 2

  /// The configuration of a run over windows of at most the model's context.
  func configuration(contextLength: Int) throws -> TrainingConfiguration {
    let configuration = TrainingConfiguration(
      steps: steps, batchSize: batchSize, contextLength: context ?? contextLength,
      gradientAccumulation: gradientAccumulation, learningRate: learningRate,
      minimumLearningRate: minLearningRate ?? learningRate / 10,
      warmupSteps: warmupSteps ?? min(100, max(0, steps / 10)),
      optimizer: AdamW.Settings(
        beta1: beta1, beta2: beta2, weightDecay: weightDecay, clipNorm: clipNorm),
      seed: seed, evaluateEvery: evalEvery, evaluationTokens: evalTokens, saveEvery: saveEvery,
      keptCheckpoints: keepCheckpoints)
    try configuration.validate()
    return configuration
  }
}

/// The shape of a new model: a preset or a config.json, and the differences from it.
struct ShapeOptions: ParsableArguments {
  @Option(help: "Shape by name.")
  var preset: ModelPreset?
  @Option(help: "Shape from a config.json instead.", completion: .file()) var config: String?
  @Option(help: "Width of the model.") var hiddenSize: Int?
  @Option(help: "Width of the feed-forward blocks.") var intermediateSize: Int?
  @Option(help: "Number of blocks.") var layers: Int?
  @Option(help: "Query heads.") var heads: Int?
  @Option(help: "Key and value heads.") var kvHeads: Int?
  @OptionGroup var feedForward: FeedForwardOptions

  /// Whether no option gives a part of the shape.
  var isEmpty: Bool {
    preset == nil && config == nil && feedForward.isEmpty
      && [hiddenSize, intermediateSize, layers, heads, kvHeads].allSatisfy { $0 == nil }
  }

  func validate() throws {
    if preset != nil, config != nil {
      throw ValidationError("--preset and --config exclude each other")
    }
  }

  /// Throws unless there is a shape or the folder of a model, which has one.
  func validate(besides model: String?) throws {
    if (model != nil) == (preset != nil || config != nil) {
      throw ValidationError("give either --model DIR, or --preset NAME or --config FILE")
    }
    if model != nil, !isEmpty {
      throw ValidationError("--model has a shape: leave out the options of shapes")
    }
  }

  /// The shape of a model, over the tokenizer's vocabulary where one is given.
  func configuration(tokenizer: Tokenizer?, context: Int?) throws -> ModelConfiguration {
    var shape =
      try config.map { path throws(CheckpointError) in
        try ModelFolder.configuration(ofFile: path)
      } ?? (preset ?? .nano).configuration
    let resizes = hiddenSize != nil || heads != nil
    shape.feedForward.hiddenSize = hiddenSize ?? shape.hiddenSize
    shape.feedForward.intermediateSize = intermediateSize ?? shape.feedForward.intermediateSize
    shape.layers = layers ?? shape.layers
    // A preset whose heads are all alike keeps them alike.
    let shares = shape.attention.kvHeads != shape.attention.heads
    shape.attention.heads = heads ?? shape.attention.heads
    shape.attention.kvHeads =
      kvHeads ?? (shares ? shape.attention.kvHeads : shape.attention.heads)
    if resizes {
      guard shape.attention.heads > 0, shape.hiddenSize % shape.attention.heads == 0 else {
        throw ConfigurationError(
          .size,
          "hidden size \(shape.hiddenSize) is not divisible by \(shape.attention.heads) "
            + "heads", remedy: "change --hidden-size or --heads")
      }
      shape.attention.headSize = shape.hiddenSize / shape.attention.heads
    }
    try feedForward.apply(to: &shape.feedForward)
    shape.contextLength = context ?? shape.contextLength
    if let tokenizer {
      shape.vocabularySize = tokenizer.vocabularySize
      shape.eosTokenIDs = tokenizer.eosTokenID.map { [$0] } ?? []
    }
    try shape.validate()
    return shape
  }
}
