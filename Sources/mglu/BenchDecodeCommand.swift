import ArgumentParser
import MGLUBenchmark
import MGLUModel
import MGLUReports

/// `mglu bench decode`.
struct DecodeBenchmarkCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Time prefill and decoding against the memory bandwidth.",
    discussion: """
      Examples:
        mglu bench decode --model run
        mglu bench decode --preset paper-small --ffn swimglu --masks 4 --weights bf16
        mglu bench decode --model run --device cuda --prompt 128,512 --batch 1,8,32

      pp is a prompt read at once, tg is tokens written one by one, both into an empty cache, as \
      llama-bench has them; tg@512 are steps of a batch of sequences at position 512. A preset has \
      random weights, and a context as long as is asked for; that of an MGLU is timed beside the GLU of the same d. "of bound" is t/s over \
      what the bytes of weights, masks and cache allow at the read bandwidth of the same moments, \
      and arithmetic, on a GPU, at the rate of a large product.
      """)

  @Option(help: "A model: its folder, a GGUF file, or a run.", completion: .file())
  var model: String?
  @OptionGroup(title: "Shape of random weights, instead of a model") var shape: ShapeOptions
  @OptionGroup var inference: InferenceOptions
  @Option(help: "Tokens of the prompt; several lengths with commas between them.")
  var prompt = CountList([512])
  @Option(help: "Sequences that decode side by side; several numbers with commas between them.")
  var batch = CountList([])
  @Option(help: "The position of their steps.") var position = 512
  @Option(help: "Tokens to write.") var generate = 128
  @Option(help: "Repetitions.") var repetitions = 5
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    try shape.validate(besides: model)
    for (name, value) in prompt.values.map({ ("prompt", $0) })
      + batch.values.map({ ("batch", $0) })
      + [("generate", generate), ("repetitions", repetitions), ("position", position)]
    where !(1...1 << 20).contains(value) {
      throw ValidationError("--\(name) \(value): expected 1 to \(1 << 20)")
    }
  }

  func run() throws {
    let backend = try inference.device.inferenceBackend(threads: threads)
    let target = try BenchmarkTarget(backend)
    let measured = try DecodeBenchmark(
      entries(on: backend), promptTokens: prompt.values, writtenTokens: generate,
      batches: batch.values, position: position, repetitions: repetitions, on: target
    ).run()
    if json {
      struct Document: Encodable {
        let machine: String
        let readGbPerS: Double
        let results: [DecodeBenchmark.Result]
      }
      return Output.json(
        Document(
          machine: backend.summary, readGbPerS: measured.readGBPerS, results: measured.results))
    }
    Output.line("\(backend.summary); reads \(NumberFormat.fixed(measured.readGBPerS, 1)) GB/s\n")
    write(measured.results, threads: backend.host.threadCount)
  }

  private func entries(on backend: any InferenceBackend) throws -> [DecodeBenchmark.Entry] {
    if let model {
      let model = try ModelFolder.loadForInference(
        ModelFolder.locate(model), weights: inference.weights,
        precision: inference.inputs.precision,
        on: backend)
      return [.init(name: model.configuration.feedForward.name, model: model)]
    }
    var own = try shape.configuration(tokenizer: nil, context: nil)
    // Random weights know no context.
    let lengths = batch.values.map {
      DecodeBenchmark.length(
        batch: $0, position: position, repetitions: repetitions, on: backend)
    }
    own.contextLength = (prompt.values + lengths).reduce(max(own.contextLength, generate)) {
      max($0, $1)
    }
    try own.validate()
    var configurations = [own]
    if own.feedForward.unit.masks != nil {
      configurations.insert(own, at: 0)
      configurations[0].feedForward.unit = .glu
    }
    let weights = inference.weights ?? .bfloat16
    try checkMemory(configurations, weights)
    return try configurations.map { configuration in
      DecodeBenchmark.Entry(
        name: configuration.feedForward.name,
        model: try InferenceModel(
          configuration, from: RandomWeights(), weights: weights,
          precision: inference.inputs.precision, on: backend))
    }
  }

  private func checkMemory(
    _ configurations: [ModelConfiguration], _ weights: WeightType
  ) throws(MemoryError) {
    let bytes = configurations.reduce(0.0) { sum, c in
      let cache = 2 * 4 * Double(c.layers) * Double(c.attention.kvWidth)
      let tokens = prompt.values.reduce(generate) { max($0, $1) }
      return sum + Double(c.weightCount) * Double(weights.dataType.byteCount)
        + Double(c.maskBitCount) / 8 + cache * Double(min(c.contextLength, tokens))
    }
    try PhysicalMemory.require(
      bytes, for: "timing this model", remedy: "choose a smaller shape or narrower --weights")
  }

  /// Columns as wide as the terminal, or lines of Markdown without one.
  private func write(_ results: [DecodeBenchmark.Result], threads: Int) {
    let titles = [
      "model", "size", "params", "weights", "threads", "test", "batch", "t/s", "of bound",
      "speed-up",
    ]
    let rows = results.map { result in
      [
        result.model, NumberFormat.fixed(Double(result.sizeBytes) / 0x1p20, 2) + " MiB",
        NumberFormat.fixed(Double(result.parameters) / 1e6, 2) + " M", result.weights,
        "\(threads)", result.test, "\(result.batch)",
        NumberFormat.fixed(result.tokensPerS, 2) + " ± "
          + NumberFormat.fixed(result.standardDeviation, 2),
        result.boundTokensPerS.map {
          NumberFormat.fixed(100 * result.tokensPerS / $0, 1) + " %"
        } ?? "",
        NumberFormat.fixed(result.speedup, 3),
      ]
    }
    guard Terminal.output.isInteractive else {
      for cells in [titles, titles.map { _ in "---" }] + rows {
        Output.line("| " + cells.joined(separator: " | ") + " |")
      }
      return
    }
    var table = Table(
      titles.map { .init($0, ["model", "weights", "test"].contains($0) ? .left : .right) })
    for row in rows { table.append(row) }
    Output.table(table)
  }
}
