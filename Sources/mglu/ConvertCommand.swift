import ArgumentParser
import MGLUReports
import MGLUTraining

/// `mglu convert`.
struct ConvertCommand: ParsableCommand {
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case llama
    case mglu
    case inference = "mglu-inference"
    case gguf
  }

  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Write a model as an equal Llama, as GGUF, or with narrower weights.",
    discussion: """
      Examples:
        mglu convert --model run --to llama --output run-llama
        mglu convert --model run --to mglu --dtype bf16 --output run-bf16
        mglu convert --model glu --to mglu --masks 4 --calibrate a.txt --output b
        mglu convert --model run --to mglu-inference --weights int8 --output run-int8
        mglu convert --model run --to gguf --weights q8_0 --output run.gguf

      llama: a stock model of the family that it came from (Llama, Mistral, Qwen2, Qwen3, SmolLM3 or \
      Phi-3). An MGLU of n masks becomes a GLU n times as wide, with the masks as zeros: exact, and \
      larger. Routed, ablated and ungated models are refused. transformers takes every activation. \
      llama.cpp takes SiLU only, and its converter only the tokenizers of models that it knows: \
      for others there is gguf.

      mglu: the same model with matrices as --dtype says. Masks stay as they are, so that it can be \
      trained further, here or in transformers (trust_remote_code=True). With --masks and \
      --calibrate a GLU becomes an MGLU that is near it: block by block, W and masks are fitted to \
      the inputs that the text gives, and tuned. mglu train --init heals what is left. An \
      interrupted conversion goes on where it stopped when the command is given again. Without \
      --calibrate each element is the nearest by itself, which destroys a well-trained model.

      mglu-inference: weights as --weights says, masks as packed bits, nothing else. Every command \
      reads it; mglu generate maps it and reads it where it lies.

      gguf: the equal Llama with tokenizer and chat template in one file, for llama.cpp: SiLU only, \
      and tokenizers that llama.cpp has a name for. Its names of weights, f32, f16, bf16 and q8_0, are \
      taken too.
      """)

  @OptionGroup var model: ModelOptions
  @Option(help: "Format.") var to: Format
  @Option(help: "Matrices of llama and mglu, never int8 (default: fp32).")
  var dtype: WeightType?
  @Option(help: "Masks of the MGLU that --to mglu makes of a GLU, 1 to 16.") var masks: Int?
  @OptionGroup(title: "Calibration") var calibration: CalibrationOptions
  @Option(help: "Weights of mglu-inference (default: bf16) and gguf (default: fp16).")
  var weights: WeightType?
  @Option(
    help: "Folder to write, without a model in it yet; a new file for gguf.",
    completion: .file())
  var output: String
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    let takesWeights = to == .inference || to == .gguf
    if weights != nil, !takesWeights {
      throw ValidationError(
        "--weights is for --to mglu-inference and gguf; give --dtype for others")
    }
    if dtype != nil, takesWeights {
      throw ValidationError("--dtype is for --to llama and mglu; give --weights")
    }
    if masks != nil, to != .mglu { throw ValidationError("--masks is for --to mglu") }
    if calibration.calibrate != nil, masks == nil {
      throw ValidationError("--calibrate is for --to mglu with --masks")
    }
    if dtype == .int8 {
      throw ValidationError("--dtype is fp32, fp16 or bf16; --to mglu-inference takes int8")
    }
  }

  func run() throws {
    if to == .gguf, Folder.kind(of: output) != nil {
      throw CheckpointError(
        .unwritable, "\(output) exists already", remedy: "give another --output")
    }
    for name in ["config.json", "model.safetensors"]
    where Folder.kind(of: output + "/" + name) != nil {
      throw CheckpointError(
        .unwritable, "\(output) holds a model already", remedy: "give another --output")
    }
    if let text = calibration.calibrate, let masks { return try calibrate(text, masks: masks) }
    let (folder, backend) = try model.open()
    let configuration =
      switch to {
      case .inference:
        try ModelFolder.convertForInference(
          folder, weights: weights ?? .bfloat16, to: output, on: backend)
      case .mglu: try write(masked(ModelFolder.load(folder, on: backend)))
      case .llama: try write(ModelFolder.load(folder, on: backend).llamaExport())
      case .gguf:
        try ModelFolder.exportGGUF(
          folder, weights: weights ?? .float16, to: output, on: backend)
      }
    if to != .gguf { try TextFiles(ofModel: folder).write(to: output) }
    if to == .llama, configuration.feedForward.activation != .silu {
      Output.note(
        "hidden_act is \(configuration.feedForward.activation.rawValue): llama.cpp takes SiLU "
          + "only, transformers takes this too")
    }
    if json {
      struct Document: Encodable {
        let output: String
        let parameters: Int
      }
      Output.json(Document(output: output, parameters: configuration.weightCount))
    } else {
      let file = try MappedFile(path: to == .gguf ? output : output + "/model.safetensors")
      Output.line("\(output): \(configuration.summary(fileBytes: file.byteCount))")
    }
  }

  /// The MGLU in place of a GLU, where one is asked for; tells of its error.
  private func masked(_ model: LanguageModel) throws -> LanguageModel {
    guard let masks else { return model }
    let (result, errors) = try model.maskedFromGated(masks: masks)
    Output.note("without --calibrate this destroys a well-trained model")
    for (layer, error) in errors.enumerated() {
      Output.note("layer \(layer): relative error \(NumberFormat.fixed(error, 4))")
    }
    return result
  }

  func write(_ model: LanguageModel) throws -> ModelConfiguration {
    try ModelFolder.save(
      model, weights: dtype ?? .float32, stockLlama: to == .llama, to: output)
    return model.configuration
  }
}
