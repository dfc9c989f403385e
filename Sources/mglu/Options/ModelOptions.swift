import ArgumentParser
import MGLUTraining

/// A model that exists, and what runs it.
struct ModelOptions: ParsableArguments {
  @Option(
    help: "Folder of a model, or of a run, whose newest checkpoint is taken.",
    completion: .directory)
  var model: String
  @Option(help: "Threads (default: all processors).") var threads: Int?

  /// Loads model and tokenizer, and tells of what the backend lacks.
  func load() throws -> (decoder: Decoder, tokenizer: Tokenizer) {
    let folder = try ModelFolder.locate(model)
    let backend = try CPUBackend(threads: threads)
    for warning in backend.warnings { Output.note(warning) }
    let tokenizer = try Tokenizer(contentsOf: folder)
    let decoder = try ModelFolder.load(folder, on: backend)
    guard tokenizer.vocabularySize <= decoder.configuration.vocabularySize else {
      throw CheckpointError(
        .disagreement,
        "\(folder): the tokenizer has \(tokenizer.vocabularySize) tokens, the model "
          + "\(decoder.configuration.vocabularySize)")
    }
    return (decoder, tokenizer)
  }
}
