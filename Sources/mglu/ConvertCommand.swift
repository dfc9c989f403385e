import ArgumentParser
import MGLUTraining

/// `mglu convert`.
struct ConvertCommand: ParsableCommand {
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case llama
    case inference = "mglu-inference"
  }

  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a model as a stock Llama that computes the same, or narrow for inference.",
    discussion: """
      Examples:
        mglu convert --model run --to llama --output run-llama
        mglu convert --model run --to mglu-inference --weights int8 --output run-int8

      llama: an MGLU of n masks becomes a GLU n times as wide, with the masks as zeros: exact, and \
      larger. Routed, ablated and ungated models are refused. llama.cpp takes SiLU only; \
      transformers takes every activation but the identity under some names.

      mglu-inference: weights as --weights says, masks as packed bits, nothing else. Every command \
      reads it; mglu generate maps it and reads it where it lies.
      """)

  @OptionGroup var model: ModelOptions
  @Option(help: "Format.") var to: Format
  @Option(help: "Weights of mglu-inference (default: bf16).")
  var weights: WeightType?
  @Option(help: "Folder to write, which must hold no model yet.", completion: .directory)
  var output: String
  @Flag(help: "Print one JSON document instead of text.") var json = false

  func validate() throws {
    if weights != nil, to == .llama {
      throw ValidationError("--weights is for --to mglu-inference; a llama is written as fp32")
    }
  }

  func run() throws {
    for name in ["config.json", "model.safetensors"]
    where Folder.kind(of: output + "/" + name) != nil {
      throw CheckpointError(
        .unwritable, "\(output) holds a model already", remedy: "give another --output")
    }
    let configuration = try to == .llama ? writeLlama() : writeForInference()
    if json {
      struct Document: Encodable {
        let output: String
        let parameters: Int
      }
      Output.json(Document(output: output, parameters: configuration.weightCount))
    } else {
      Output.line("\(output): \(configuration.summary)")
    }
  }

  private func writeLlama() throws -> DecoderConfiguration {
    let (decoder, tokenizer) = try model.load()
    let llama = try decoder.llamaExport()
    try tokenizer.save(to: output)
    try ModelFolder.save(llama, to: output)
    if llama.configuration.feedForward.activation != .silu {
      Output.note(
        "hidden_act is \(llama.configuration.feedForward.activation.rawValue): llama.cpp takes "
          + "SiLU only, transformers takes this too")
    }
    return llama.configuration
  }

  private func writeForInference() throws -> DecoderConfiguration {
    let (folder, backend) = try model.open()
    let tokenizer = try Tokenizer(
      contentsOf: folder, for: ModelFolder.configuration(in: folder))
    try tokenizer.save(to: output)
    return try ModelFolder.convertForInference(
      folder, weights: weights ?? .bfloat16, to: output, on: backend)
  }
}
