import ArgumentParser
import MGLUTraining

/// `mglu convert`.
struct ConvertCommand: ParsableCommand {
  enum Format: String, CaseIterable, ExpressibleByArgument { case llama }

  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a model as a stock Llama that computes the same.",
    discussion: """
      Examples:
        mglu convert --model run --to llama --output run-llama

      An MGLU of n masks becomes a GLU n times as wide, with the masks as zeros: exact, and larger.
      Routed, ablated and ungated models are refused. llama.cpp takes SiLU only; transformers takes
      every activation but the identity under some names.
      """)

  @OptionGroup var model: ModelOptions
  @Option(help: "Format: llama.") var to: Format
  @Option(help: "Folder to write, which must hold no model yet.", completion: .directory)
  var output: String
  @Flag(help: "Print one JSON document instead of text.") var json = false

  func run() throws {
    for name in ["config.json", "model.safetensors"]
    where Folder.kind(of: output + "/" + name) != nil {
      throw CheckpointError(
        .unwritable, "\(output) holds a model already", remedy: "give another --output")
    }
    let (decoder, tokenizer) = try model.load()
    let llama = try decoder.llamaExport()
    try tokenizer.save(to: output)
    try ModelFolder.save(llama, to: output)
    if llama.configuration.feedForward.activation != .silu {
      Output.note(
        "hidden_act is \(llama.configuration.feedForward.activation.rawValue): llama.cpp takes "
          + "SiLU only, transformers takes this too")
    }
    if json {
      struct Document: Encodable {
        let output: String
        let parameters: Int
      }
      Output.json(Document(output: output, parameters: llama.configuration.weightCount))
    } else {
      Output.line("\(output): \(llama.configuration.summary)")
    }
  }
}
