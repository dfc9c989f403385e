import ArgumentParser
import MGLUTraining

/// An existing model, and the threads that run it.
struct ModelOptions: ParsableArguments {
  @Option(
    help: "A model: its folder, a GGUF file, or a run, for its newest checkpoint.",
    completion: .file())
  var model: String
  @Option(help: "Threads (default: all processors).") var threads: Int?

  /// Where the model lies, and the backend; notes missing libraries.
  func open() throws -> (folder: String, backend: CPUBackend) {
    let folder = try ModelFolder.locate(model)
    let backend = try CPUBackend(threads: threads)
    for warning in backend.warnings { Output.note(warning) }
    return (folder, backend)
  }

  /// Loads model and tokenizer.
  func load(on backend: any TrainingBackend) throws -> (model: LanguageModel, tokenizer: Tokenizer)
  {
    let folder = try ModelFolder.locate(model)
    let model = try ModelFolder.load(folder, on: backend)
    return (model, try Tokenizer(contentsOf: folder, for: model.configuration))
  }

  /// Opens the model for inference.
  func load(
    _ options: InferenceOptions
  ) throws -> (model: InferenceModel, tokenizer: Tokenizer) {
    let (models, tokenizer) = try load(options, on: [options.device], threads: threads)
    return (models[0], tokenizer)
  }

  /// Opens the model for inference on each of `devices`, which are not empty, with so many threads for each.
  /// The weights of the CPU's are in memory once. Of several processes one alone `notes` missing libraries.
  func load(
    _ options: InferenceOptions, on devices: [Device], threads: Int?, notes: Bool = true
  ) throws -> (models: [InferenceModel], tokenizer: Tokenizer) {
    let folder = try ModelFolder.locate(model)
    var models: [InferenceModel] = []
    for device in devices {
      if device == .cpu, let first = models.first {
        models.append(try first.replica(on: CPUBackend(threads: threads)))
      } else {
        models.append(
          try ModelFolder.loadForInference(
            folder, weights: options.weights, precision: options.inputs.precision,
            on: device.inferenceBackend(threads: threads, notes: notes && models.isEmpty)))
      }
    }
    return (models, try Tokenizer(contentsOf: folder, for: models[0].configuration))
  }

  /// The same for a model whose folder may have no tokenizer.json.
  func loadTokenizerIfAny(
    _ options: InferenceOptions
  ) throws -> (model: InferenceModel, tokenizer: Tokenizer?) {
    let folder = try ModelFolder.locate(model)
    if try ModelFolder.hasTokenizer(folder) { return try load(options) }
    let model = try ModelFolder.loadForInference(
      folder, weights: options.weights, precision: options.inputs.precision,
      on: options.device.inferenceBackend(threads: threads))
    return (model, nil)
  }
}

extension Tokenizer {
  /// The tokenizer in `folder`, which must fit the model there.
  init(contentsOf folder: String, for configuration: ModelConfiguration) throws {
    self = try Tokenizer(contentsOf: folder)
    try check(for: configuration, folder: folder)
  }

  /// Throws unless the model in `folder` has all tokens.
  func check(for configuration: ModelConfiguration, folder: String) throws {
    guard vocabularySize <= configuration.vocabularySize else {
      throw CheckpointError(
        .disagreement,
        "\(folder): the tokenizer has \(vocabularySize) tokens, the model "
          + "\(configuration.vocabularySize)")
    }
  }
}
