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

  /// Opens the model for inference and runs `body` with it; see
  /// ``InferenceOptions/withModel(threads:of:load:_:)``.
  func withModel(
    _ options: InferenceOptions, of command: any ParsableCommand,
    _ body: (InferenceModel) async throws -> Void
  ) async throws {
    try await options.withModel(
      threads: threads, of: command, load: load(options.precision), body)
  }

  /// The same with all replicas of the model, where there are several.
  func withModels(
    _ options: InferenceOptions, _ replication: ReplicaOptions, of command: any ParsableCommand,
    _ body: ([InferenceModel]) async throws -> Void
  ) async throws {
    if replication.replicas == .count(1) {
      return try await withModel(options, of: command) { try await body([$0]) }
    }
    guard options.devices.count == 1 else {
      throw ValidationError(
        "--replicas are copies of a model, and devices share one: give either, or run two servers")
    }
    let (devices, threads) = try replication.plan(on: options.devices[0], threads: threads)
    try await body(load(options.precision, on: devices, threads: threads))
  }

  /// Opens the model for inference on each of `devices`, which are not empty, with so many threads for each.
  /// The weights of the CPU's are in memory once. Of several processes one alone `notes` missing libraries.
  func load(
    _ options: PrecisionOptions, on devices: [Device], threads: Int?, notes: Bool = true
  ) throws -> [InferenceModel] {
    var models: [InferenceModel] = []
    for device in devices {
      if device == .cpu, let first = models.first {
        models.append(try first.replica(on: CPUBackend(threads: threads)))
      } else {
        models.append(
          try load(options)(
            device.inferenceBackend(threads: threads, notes: notes && models.isEmpty), nil))
      }
    }
    return models
  }

  private func load(
    _ options: PrecisionOptions
  ) -> (any InferenceBackend, (any Communicator)?) throws -> InferenceModel {
    { backend, communicator in
      try ModelFolder.loadForInference(
        ModelFolder.locate(model), weights: options.weights, precision: options.inputs.precision,
        on: backend, communicator: communicator)
    }
  }

  /// The tokenizer of the model.
  func tokenizer(for model: InferenceModel) throws -> Tokenizer {
    try Tokenizer(contentsOf: ModelFolder.locate(self.model), for: model.configuration)
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
