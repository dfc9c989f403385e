import ArgumentParser
import MGLUBenchmark
import MGLUReports
import MGLUTraining

/// `mglu bench train`.
struct TrainingBenchmarkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Time steps of training against the rate of one large product.",
    discussion: """
      Examples:
        mglu bench train
        mglu bench train --preset paper-small --batch-size 16 --device cuda
        mglu bench train --preset paper-small --recompute --device cuda
        mglu bench train --preset paper-small --batch-size 16 --gpus 2
        mglu bench train --preset paper-large --batch-size 4 --gpus 4 --shard

      A step is forward, backward, clipping and AdamW on random tokens. TFLOP/s are those that the \
      model needs, attention included and activations that are computed again not. Of several GPUs \
      each computes a batch; tokens are those of all, TFLOP/s and memory those of one.
      """)

  @Option(help: "Units with commas between them, as mglu compare has them.")
  var units = "swiglu,swimglu:1,swimglu:4,swimglu:8"
  @Option(help: "Shape by name.") var preset = ModelPreset.nano
  @Option(help: "Sequences of a step, on each GPU.") var batchSize = 12
  @Option(help: "Tokens of a window (default: the preset's).") var context: Int?
  @Option(help: "Steps that are timed.") var steps = 20
  @Flag(help: "Compute activations again in the backward pass.") var recompute = false
  @OptionGroup var ranks: RankOptions
  @Flag(help: RankOptions.shardHelp) var shard = false
  @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    for (name, value) in [("batch-size", batchSize), ("steps", steps), ("context", context ?? 1)]
    where !(1...1 << 20).contains(value) {
      throw ValidationError("--\(name) \(value): expected 1 to \(1 << 20)")
    }
  }

  func run() throws {
    if try ranks.startRanks(on: device) { return }
    try RankProcess.run(of: self) { try measure($0, $1) }
  }

  private func measure(_ launch: RankLaunch?, _ group: RankGroup?) throws {
    var shape = preset.configuration
    shape.contextLength = context ?? shape.contextLength
    let isLeader = group?.isLeader ?? true
    let backend = try ranks.device(device, of: launch).trainingBackend(
      threads: ranks.threads(threads, of: launch), notes: isLeader)
    let benchmark = TrainingBenchmark(
      shape, units: try UnitSpecification.list(units), batchSize: batchSize, steps: steps,
      purpose: recompute ? .recomputingTraining : .training, on: backend,
      communicator: try group.map { try backend.communicator(of: $0) }, isSharded: shard)
    let rate = try benchmark.productRate()
    if !json, isLeader {
      Output.line("\(backend.summary); a large product: \(NumberFormat.fixed(rate, 1)) TFLOP/s")
      Output.line(
        "\(group.map { "\($0.size) x " } ?? "")\(batchSize) x \(shape.contextLength) tokens a step, "
          + preset.rawValue
          + (recompute ? ", activations computed again" : "")
          + (shard && group != nil ? ", shared parameters" : "") + "\n")
      Output.line("| unit | tokens/s | ms a step | TFLOP/s | of the product | memory |")
      Output.line("| --- | --- | --- | --- | --- | --- |")
    }
    let results = try benchmark.run(productRate: rate) { result in
      if !json, isLeader { Output.line(row(result)) }
    }
    guard json, isLeader else { return }
    Output.json(
      Document(
        machine: backend.summary, preset: preset.rawValue, batchSize: batchSize,
        context: shape.contextLength, steps: steps, ranks: group?.size ?? 1,
        transport: benchmark.communicator?.summary, shard: shard, recompute: recompute,
        productTflopPerS: rate,
        results: results))
  }

  private func row(_ result: TrainingBenchmark.Result) -> String {
    let cells = [
      result.unit, NumberFormat.grouped(result.tokensPerS),
      NumberFormat.fixed(result.milliseconds, 2), NumberFormat.fixed(result.tflopPerS, 1),
      NumberFormat.fixed(result.percentOfProduct, 1) + " %",
      NumberFormat.fixed(Double(result.deviceBytes ?? result.plannedBytes) / 0x1p30, 2) + " GiB",
    ]
    return "| " + cells.joined(separator: " | ") + " |"
  }
}

/// The output of `mglu bench train --json`.
private struct Document: Encodable {
  let machine: String
  let preset: String
  let batchSize: Int
  let context: Int
  let steps: Int
  let ranks: Int
  let transport: String?
  let shard: Bool
  let recompute: Bool
  let productTflopPerS: Double
  let results: [TrainingBenchmark.Result]
}
