import ArgumentParser
import MGLUBenchmark
import MGLUModel
import MGLUReports

/// `mglu bench`: its subcommands are in files of their own.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Time units against the memory bandwidth.",
    subcommands: [
      FeedForward.self, DecodeBenchmarkCommand.self, ServeBenchmarkCommand.self,
      TrainingBenchmarkCommand.self,
    ])

  /// `mglu bench ffn`.
  struct FeedForward: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ffn",
      abstract: "Time FlashMGLU against SwiGLU and the read bandwidth of the same moments.",
      discussion: """
        Examples:
          mglu bench ffn
          mglu bench ffn --shapes 8192x2048 --weights int8 --masks 1,4 --json

        Shapes are d x h. Weights are cold: calls rotate among copies of 512 MiB together, which no \
        cache holds (of W below 8 MiB there are 64 copies, which a large cache may hold). The naive \
        MGLU makes 2 n_m passes over W, each with one mask.
        """)

    @Option(help: "Shapes d x h, separated by commas.") var shapes = "8192x2048,14336x4096"
    @Option(help: "Mask counts, separated by commas.") var masks = "1,2,4,8"
    @Option(help: "Weights: fp32, fp16, bf16, int8, separated by commas.") var weights = "bf16"
    @OptionGroup var inputs: InputPrecisionOptions
    @Option(help: "Rows of the input.") var batch = 1
    @Option(help: "Rounds.") var rounds = 60
    @Option(help: Device.help, transform: { try Device(parsing: $0) }) var device = Device.cpu
    @Option(help: "Threads (default: all processors).") var threads: Int?
    @Flag(help: "On a GPU: let every call wait for the one before it, as unrelated calls would.")
    var inOrder = false
    @Flag(help: "Print one JSON document.") var json = false

    func validate() throws { _ = try settings() }

    func run() throws {
      let settings = try self.settings()
      let backend = try device.inferenceBackend(threads: threads)
      backend.startsEarly = !inOrder
      let target = try BenchmarkTarget(backend)
      var read: [Double] = []
      var results: [FeedForwardBenchmark.Result] = []
      for setting in settings {
        let measured = try FeedForwardBenchmark(setting, on: target).run()
        read.append(measured.readGBPerS)
        results += measured.results
      }
      let bandwidth = read.sorted()[read.count / 2]
      if json {
        struct Document: Encodable {
          let machine: String
          let readGbPerS: Double
          let results: [FeedForwardBenchmark.Result]
        }
        return Output.json(
          Document(machine: backend.summary, readGbPerS: bandwidth, results: results))
      }
      Output.line("\(backend.summary); reads \(NumberFormat.fixed(bandwidth, 1)) GB/s")
      var table = Table([
        .init("unit"), .init("shape"), .init("weights"), .init("us", .right),
        .init("GB/s", .right), .init("% read", .right), .init("x GLU", .right),
        .init("x naive", .right), .init("error", .right),
      ])
      for row in results {
        table.append([
          row.masks > 0 ? "\(row.unit) \(row.masks)" : row.unit, row.shape, row.weights,
          NumberFormat.fixed(row.p50Us, row.p50Us < 100 ? 1 : 0), NumberFormat.fixed(row.gbPerS, 1),
          NumberFormat.fixed(row.percentOfReadBandwidth, 0),
          NumberFormat.fixed(row.speedupOverGlu, 2),
          row.speedupOverNaive.map { NumberFormat.fixed($0, 2) } ?? "",
          NumberFormat.fixed(row.relativeError * 1e6, 1) + "e-6",
        ])
      }
      Output.table(table)
    }

    private func settings() throws -> [FeedForwardBenchmark.Setting] {
      func list<Value>(
        _ items: String, _ name: String, _ expected: String, _ parse: (String) -> Value?
      ) throws -> [Value] {
        try items.split(separator: ",", omittingEmptySubsequences: false).map { item in
          guard let value = parse(String(item)) else {
            throw ValidationError("--\(name): \"\(item)\": expected \(expected)")
          }
          return value
        }
      }
      guard (1...4096).contains(batch), (1...100_000).contains(rounds) else {
        throw ValidationError("--batch is 1 to 4096, --rounds 1 to 100000")
      }
      let counts = try list(masks, "masks", "1 to 16") {
        Int($0).flatMap { (1...16).contains($0) ? $0 : nil }
      }
      let names = WeightType.allCases.map(\.rawValue).joined(separator: ", ")
      let types = try list(weights, "weights", "one of \(names)", WeightType.init(rawValue:))
      let sizes = try list(shapes, "shapes", "d x h, as in 3072x768") {
        shape -> (d: Int, h: Int)? in
        let parts = shape.split(separator: "x").compactMap { Int($0) }
        let isPossible = parts.count == 2 && parts.allSatisfy { (1...1 << 20).contains($0) }
        return isPossible ? (parts[0], parts[1]) : nil
      }
      return sizes.flatMap { size in
        types.map { type in
          FeedForwardBenchmark.Setting(
            intermediateSize: size.d, hiddenSize: size.h, masks: counts, weights: type,
            activations: inputs.precision, batch: batch, rounds: rounds)
        }
      }
    }
  }
}
