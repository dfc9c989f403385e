import ArgumentParser
import MGLUTraining

/// `mglu evaluate`.
struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Measure how well a model predicts data.",
    discussion: """
      Examples:
        mglu evaluate --model run --data other.txt
        mglu evaluate --model run --data valid.bin --json
        mglu evaluate --model run --data other.txt --device cuda --weights int8
        mglu evaluate --model run --data other.txt --gpus all

      Every token but the first is predicted, in consecutive windows of --context tokens. The loss \
      is in nats per token; bits per byte compare models of different tokenizers.

      The products are those of generate and serve, with the same defaults, so this is the loss of \
      what they compute. For a run it is the validation loss of mglu train: weights and inputs are \
      FP32 on the CPU, and BF16 on a GPU. --input-precision fp32 leaves out the rounding of inputs \
      to BF16 or 8 bits, which depends on the processor.
      """)

  @OptionGroup var model: ModelOptions
  @Option(help: "Text, JSONL, token shards, or a folder of them.", completion: .file())
  var data: String
  @Option(help: "Tokens of a window (default: the model's context, at most 1024).")
  var context: Int?
  @OptionGroup var ranks: RankOptions
  @OptionGroup var precision: PrecisionOptions
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
  @Flag(help: "Print one JSON document.") var json = false

  func run() throws {
    if try ranks.startRanks(on: device) { return }
    try RankProcess.run(of: self) { try evaluate($0, $1) }
  }

  private func evaluate(_ launch: RankLaunch?, _ group: RankGroup?) throws {
    let isLeader = group?.isLeader ?? true
    let model = try model.load(
      precision, on: [ranks.device(device, of: launch)],
      threads: ranks.threads(model.threads, of: launch), notes: isLeader)[0]
    let tokenizer = try self.model.tokenizer(for: model)
    let longest = model.configuration.contextLength
    let length = context ?? min(longest, 1024)
    guard (1...longest).contains(length) else {
      throw TrainingError(.setting, "context \(length): expected 1 to \(longest), the model's")
    }
    let tokens = try Corpus.tokens(at: data, tokenizer: tokenizer)
    if isLeader, let note = try Corpus.noteOfFilesLeftOut(data) { Output.note(note) }
    Interrupt.listen()
    let evaluator = try evaluator(of: model, tokenizer, length: length, tokens: tokens.count, group)
    guard let result = try evaluator.evaluate(tokens, isCancelled: { Interrupt.isRequested })
    else { throw ExitCode(Interrupt.exitStatus) }
    guard result.loss.isFinite else {
      throw TrainingError(
        .nonFinite,
        "the loss is no finite number: neither are weights of the model, or what follows "
          + "from them", remedy: "see mglu inspect, or take an earlier checkpoint")
    }
    guard isLeader else { return }
    if json {
      Output.json(EvaluationDocument(result))
    } else {
      Output.line(result.sentence)
    }
  }

  /// Evaluates by the steps of inference, or, where the numbers are the same, by what is faster: a BLAS
  /// multiplies many rows of float32, as training has it.
  private func evaluator(
    of model: InferenceModel, _ tokenizer: Tokenizer, length: Int, tokens: Int, _ group: RankGroup?
  ) throws -> Evaluator {
    guard model.weightType == .float32, let backend = model.backend as? CPUBackend else {
      return Evaluator(model, tokenizer: tokenizer, length: length, ranks: group)
    }
    let model = try ModelFolder.load(ModelFolder.locate(self.model.model), on: backend)
    let windows = max(1, min(16, tokens / length))
    return Evaluator(
      model, tokenizer: tokenizer,
      activations: model.makeActivations(sequences: windows, length: length, purpose: .evaluation),
      ranks: group)
  }
}

/// The output of `mglu evaluate --json`.
private struct EvaluationDocument: Encodable {
  let loss: Double
  let perplexity: Double
  let bitsPerByte: Double
  let tokens: Int

  init(_ result: EvaluationResult) {
    loss = result.loss
    perplexity = result.perplexity
    bitsPerByte = result.bitsPerByte
    tokens = result.tokens
  }
}
