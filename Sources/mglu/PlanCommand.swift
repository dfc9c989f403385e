import ArgumentParser
import MGLUBenchmark
import MGLUReports
import MGLUTraining

/// `mglu plan`.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Tell the memory and the time of a training run before it is begun.",
    discussion: """
      Examples:
        mglu plan --preset paper-small --batch-size 16 --device cuda
        mglu plan --preset paper-large --masks 4 --ffn swimglu --recompute

      The time is predicted from the rates of one large product and of a copy, which are measured \
      here; it is meant for large models, where nothing else counts.
      """)

  @OptionGroup(title: "Model") var shape: ShapeOptions
  @Option(help: "Sequences of a micro-batch.") var batchSize = 12
  @Option(help: "Tokens of a window (default: the preset's).") var context: Int?
  @Option(help: "Micro-batches whose gradients make one step.") var gradientAccumulation = 1
  @Flag(help: "Compute activations again in the backward pass.") var recompute = false
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    for (name, value) in [
      ("batch-size", batchSize), ("context", context ?? 1),
      ("gradient-accumulation", gradientAccumulation),
    ] where !(1...1 << 20).contains(value) {
      throw ValidationError("--\(name) \(value): expected 1 to \(1 << 20)")
    }
  }

  func run() throws {
    let configuration = try shape.configuration(tokenizer: nil, context: context)
    try TrainingConfiguration(
      batchSize: batchSize, contextLength: configuration.contextLength,
      gradientAccumulation: gradientAccumulation
    ).validate()
    let length = configuration.contextLength
    let backend = try device.trainingBackend(threads: threads)
    let memory = TrainingMemory(
      configuration, sequences: batchSize, length: length,
      purpose: recompute ? .recomputingTraining : .training, on: backend)
    let benchmark = TrainingBenchmark(
      configuration, units: [], batchSize: batchSize, steps: 1, purpose: .training, on: backend)
    let (productRate, copyRate) = (
      try benchmark.productRate(), try StepPrediction.copyRate(on: backend)
    )
    let tokens = batchSize * length
    let step = StepPrediction(
      configuration, memory: memory, tokens: tokens, length: length,
      accumulation: gradientAccumulation, recomputes: recompute, productRate: productRate,
      copyRate: copyRate)
    let tokensPerS = Double(tokens * gradientAccumulation) / step.total
    if json {
      Output.json(
        Document(
          machine: backend.summary, bytes: .init(memory), productTflopPerS: productRate,
          copyGbPerS: copyRate / 1e9, millisecondsPerStep: step.total * 1e3,
          tokensPerS: tokensPerS))
    } else {
      Output.line("\(configuration.summary)")
      Output.line(backend.summary)
      Output.line("")
      var table = Table([.init("memory"), .init("GiB", .right)])
      for (name, bytes) in [
        ("parameters", memory.parameters), ("their narrow copies", memory.copies),
        ("gradients", memory.gradients), ("moments of AdamW", memory.moments),
        ("activations", memory.activations), ("together", memory.total),
      ] { table.append([name, NumberFormat.fixed(Double(bytes) / 0x1p30, 2)]) }
      Output.table(table)
      Output.line("")
      Output.line(
        "a step of \(NumberFormat.grouped(tokens * gradientAccumulation)) tokens: about "
          + "\(NumberFormat.fixed(step.total * 1e3, 1)) ms, "
          + "\(NumberFormat.grouped(Int(tokensPerS))) tokens/s")
    }
    try memory.check(on: backend)
  }
}

/// The output of `mglu plan --json`.
private struct Document: Encodable {
  struct Bytes: Encodable {
    let parameters: Int
    let copies: Int
    let gradients: Int
    let moments: Int
    let activations: Int
    let total: Int

    init(_ memory: TrainingMemory) {
      parameters = memory.parameters
      copies = memory.copies
      gradients = memory.gradients
      moments = memory.moments
      activations = memory.activations
      total = memory.total
    }
  }

  let machine: String
  let bytes: Bytes
  let productTflopPerS: Double
  let copyGbPerS: Double
  let millisecondsPerStep: Double
  let tokensPerS: Double
}
