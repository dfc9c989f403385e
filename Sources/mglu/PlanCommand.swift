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
        mglu plan --preset paper-small --batch-size 16 --device cuda --gpus 2,8,64
        mglu plan --preset llama-3.1-8b --batch-size 1 --gpus 8,64 --shard

      The time is predicted from the rates of one large product and of a copy, which are measured \
      here; it is meant for large models, where nothing else counts. Several GPUs have a batch each \
      and are connected by a link: an NVLink of an H100 moves about 350 GB/s, a network card of \
      400 Gb/s some 45.
      """)

  @OptionGroup(title: "Model") var shape: ShapeOptions
  @Option(help: "Predict steps on these numbers of GPUs, with commas between them.")
  var gpus: CountList?
  @Flag(help: RankOptions.shardHelp) var shard = false
  @Option(help: "GB a second that leave a GPU, and as many that reach it.")
  var linkBandwidth = 350.0
  @Option(help: "Microseconds of a message beside its bytes.") var linkLatency = 10.0
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
    if shard, gpus == nil { throw ValidationError("--shard is for several GPUs: give --gpus") }
    for count in gpus?.values ?? [] where !(1...1 << 20).contains(count) {
      throw ValidationError("--gpus \(count): expected 1 to \(1 << 20)")
    }
    guard linkBandwidth > 0, linkBandwidth.isFinite, linkLatency >= 0, linkLatency.isFinite else {
      throw ValidationError(
        "a link of \(linkBandwidth) GB/s and \(linkLatency) microseconds: expected more than 0, and 0 "
          + "or more")
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
    /// On the one of several GPUs that needs most. Beyond thousands of them shares are nothing beside the rest.
    func memory(gpus: Int) -> TrainingMemory {
      let ranks = min(gpus, 1 << 12)
      return TrainingMemory(
        configuration, sequences: batchSize, length: length,
        purpose: recompute ? .recomputingTraining : .training,
        microBatches: gradientAccumulation * ranks, ranks: ranks, isSharded: shard, on: backend)
    }
    let single = memory(gpus: 1)
    let benchmark = TrainingBenchmark(
      configuration, units: [], batchSize: batchSize, steps: 1, purpose: .training, on: backend)
    let (productRate, copyRate) = (
      try benchmark.productRate(), try StepPrediction.copyRate(on: backend)
    )
    let tokens = batchSize * length
    let step = StepPrediction(
      configuration, memory: single, tokens: tokens, length: length,
      accumulation: gradientAccumulation, recomputes: recompute, productRate: productRate,
      copyRate: copyRate)
    let tokensPerS = Double(tokens * gradientAccumulation) / step.total
    let link = LinkPrediction(bandwidth: linkBandwidth * 1e9, latency: linkLatency / 1e6)
    let scaling = (gpus?.values ?? []).map { count in
      let seconds = link.seconds(
        of: step, configuration, ranks: count, rounds: gradientAccumulation,
        isSharded: shard && count > 1)
      return Scaling(
        gpus: count, bytes: memory(gpus: count).total, millisecondsPerStep: seconds * 1e3,
        tokensPerS: Double(count * tokens * gradientAccumulation) / seconds,
        percentOfLinear: 100 * step.total / seconds)
    }
    if json {
      Output.json(
        Document(
          machine: backend.summary, bytes: .init(single), productTflopPerS: productRate,
          copyGbPerS: copyRate / 1e9, millisecondsPerStep: step.total * 1e3,
          tokensPerS: tokensPerS, scaling: gpus == nil ? nil : scaling))
    } else {
      Output.line("\(configuration.summary)")
      Output.line(backend.summary)
      Output.line("")
      var table = Table([.init("memory"), .init("GiB", .right)])
      for (name, bytes) in [
        ("parameters", single.parameters), ("their narrow copies", single.copies),
        ("gradients", single.gradients), ("moments of AdamW", single.moments),
        ("activations", single.activations), ("together", single.total),
      ] { table.append([name, NumberFormat.fixed(Double(bytes) / 0x1p30, 2)]) }
      Output.table(table)
      Output.line("")
      Output.line(
        "a step of \(NumberFormat.grouped(tokens * gradientAccumulation)) tokens: about "
          + "\(NumberFormat.fixed(step.total * 1e3, 1)) ms, "
          + "\(NumberFormat.grouped(tokensPerS)) tokens/s")
      if !scaling.isEmpty {
        Output.line("")
        var table = Table([
          .init("GPUs", .right), .init("ms a step", .right), .init("tokens/s", .right),
          .init("of linear", .right), .init("GiB on each", .right),
        ])
        for row in scaling {
          table.append([
            NumberFormat.grouped(row.gpus), NumberFormat.fixed(row.millisecondsPerStep, 1),
            NumberFormat.grouped(row.tokensPerS),
            NumberFormat.fixed(row.percentOfLinear, 1) + " %",
            NumberFormat.fixed(Double(row.bytes) / 0x1p30, 2),
          ])
        }
        Output.table(table)
      }
    }
    // Where GPUs share all of it, some number of them may do.
    let planned = shard ? scaling.map { memory(gpus: $0.gpus) } : [single]
    try planned.min { $0.total < $1.total }?.check(on: backend)
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
  let scaling: [Scaling]?
}

/// A step on several GPUs.
private struct Scaling: Encodable {
  let gpus: Int
  let bytes: Int
  let millisecondsPerStep: Double
  let tokensPerS: Double
  let percentOfLinear: Double
}
