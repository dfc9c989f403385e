/// A GGUF file, read as the Hugging Face folder that it was made from: its metadata as documents, its
/// tensors under Hugging Face's names.
struct GGUFModel: ModelParts {
  let file: GGUFFile
  let architecture: GGUFArchitecture
  var path: String { file.path }

  /// Opens the file at `path`.
  init(path: String) throws(CheckpointError) {
    file = try GGUFFile(path: path)
    guard let name = try file.string("general.architecture") else {
      throw CheckpointError(
        .malformed, "\(path): no general.architecture, which the file of a model has",
        remedy: "give the file of a language model")
    }
    guard let known = GGUFArchitecture.all.first(where: { $0.name == name }) else {
      let names = GGUFArchitecture.all.map(\.name).joined(separator: ", ")
      throw CheckpointError(
        .malformed, "\(path): general.architecture is \(name.shown), expected one of \(names)")
    }
    architecture = known
  }

  func document(_ name: String) throws(CheckpointError) -> [UInt8]? {
    switch name {
    case "config.json": try configuration().bytes
    case "generation_config.json": try generationConfiguration().bytes
    case "tokenizer.json": try tokenizer()?.bytes
    case "tokenizer_config.json": try tokenizerConfiguration()?.bytes
    case "chat_template.jinja": try file.string("tokenizer.chat_template").map { Array($0.utf8) }
    default: nil
    }
  }

  func place(of name: String) -> String { "\(path) (as \(name))" }

  func tensors() throws(CheckpointError) -> CheckpointTensors {
    CheckpointTensors(try GGUFTensors(self))
  }

  /// The value of the key that begins with the name of the architecture.
  func integer(_ key: String) throws(CheckpointError) -> Int? {
    try file.integer("\(architecture.name).\(key)")
  }

  func number(_ key: String) throws(CheckpointError) -> Double? {
    try file.number("\(architecture.name).\(key)")
  }

  func string(_ key: String) throws(CheckpointError) -> String? {
    try file.string("\(architecture.name).\(key)")
  }

  /// The shape of the tensor that llama.cpp calls `name`.
  func shape(of name: String) -> [Int]? { file.entries.first { $0.name == name }?.shape }
}
