/// What a fuzzer feeds with bytes. Whatever they are, the process goes on, and ends in time.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// JSON, as requests and data have it.
  case json
  /// The source of a template.
  case template
  /// A template that is put together of whole expressions and statements.
  case expression
  /// `tokenizer.json`.
  case tokenizer
  /// A `tokenizer.json` of components that belong together, and a text.
  case vocabulary
  /// The body of a request.
  case body
  /// A request of fields that the API knows.
  case request
  /// A chat of messages that templates know.
  case chat
  /// What a connection to the server receives.
  case http
  /// A safetensors file.
  case safetensors
  /// A document of a model folder.
  case folder
  /// A model of any sizes, whose weights are written, read and run.
  case model
  /// A GGUF file.
  case gguf
  /// A GGUF file of keys and tensors that belong together.
  case architecture
  /// Training data.
  case data
  /// A file of a training run that is resumed.
  case run

  /// Feeds the target with `bytes`.
  ///
  /// - Throws: ``FuzzFinding`` where something other than an error comes of them.
  public func callAsFunction(_ bytes: [UInt8]) throws(FuzzFinding) {
    switch self {
    case .json: try TextTargets.json(bytes)
    case .template: try TextTargets.template(bytes)
    case .expression: try TextTargets.expression(bytes)
    case .tokenizer: try TokenizerTargets.tokenizer(bytes)
    case .vocabulary: try TokenizerTargets.vocabulary(bytes)
    case .body: try RequestTargets.body(bytes)
    case .request: try RequestTargets.request(bytes)
    case .chat: try RequestTargets.chat(bytes)
    case .http: try HTTPTarget.connection(bytes)
    case .safetensors: try ModelTargets.safetensors(bytes)
    case .folder: try ModelTargets.folder(bytes)
    case .model: try ModelTargets.model(bytes)
    case .gguf: try GGUFTargets.file(bytes)
    case .architecture: try GGUFTargets.architecture(bytes)
    case .data: try TrainingTargets.data(bytes)
    case .run: try TrainingTargets.run(bytes)
    }
  }
}

/// Something that must not come of any bytes.
public struct FuzzFinding: Error, CustomStringConvertible {
  /// What came.
  public let description: String

  /// A finding.
  public init(_ description: String) { self.description = description }
}
