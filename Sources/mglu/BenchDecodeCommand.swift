import ArgumentParser
import MGLUBenchmark
import MGLUModel
import MGLUReports

/// `mglu bench decode`.
struct DecodeBenchmarkCommand: AsyncParsableCommand {
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
      random weights, and a context as long as is asked for; that of an MGLU is timed beside the GLU of the same d, \
      unless devices share the model. Sizes and bounds are those of one of them. "of bound" is t/s over \
      what the bytes of weights, masks and cache allow at the read bandwidth of the same moments, \
      and arithmetic, on a GPU, at the rate of a large product.
      """)

  @Option(help: "A model: its folder, a GGUF file, or a run.", completion: .file())
  var model: String?
  @OptionGroup(title: "Shape of random weights, instead of a model") var shape: ShapeOptions
  @OptionGroup var inference: InferenceOptions
  @Option(
    help: """
      Tokens of the prompt; several lengths with commas between them (default: 512, or the context).
      """)
  var prompt = CountList([])
  @Option(help: "Sequences that decode side by side; several numbers with commas between them.")
  var batch = CountList([])
  @Option(help: "The position of their steps.") var position = 512
  @Option(help: "Tokens to write (default: 128, or the context).") var generate: Int?
  @Option(help: "Repetitions.") var repetitions = 5
  @Option(help: "Threads (default: all processors).") var threads: Int?
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    try shape.validate(besides: model)
    for (name, value) in prompt.values.map({ ("prompt", $0) })
      + batch.values.map({ ("batch", $0) })
      + [("generate", generate ?? 1), ("repetitions", repetitions), ("position", position)]
    where !(1...1 << 20).contains(value) {
      throw ValidationError("--\(name) \(value): expected 1 to \(1 << 20)")
    }
  }

  func run() async throws {
    try await inference.withModel(
      threads: threads, of: self, load: { try open(on: $0, $1) }, { try measure($0) })
  }

  private func measure(_ model: InferenceModel) throws {
    let backend = model.backend
    let target = try BenchmarkTarget(backend)
    let (prompts, written) = lengths(within: model.configuration.contextLength)
    let measured = try DecodeBenchmark(
      entries(model), promptTokens: prompts, writtenTokens: written,
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

  private func open(
    on backend: any InferenceBackend, _ communicator: (any Communicator)?
  ) throws -> InferenceModel {
    if let model {
      return try ModelFolder.loadForInference(
        ModelFolder.locate(model), weights: inference.precision.weights,
        precision: inference.precision.inputs.precision, on: backend, communicator: communicator)
    }
    var configuration = try shape.configuration(tokenizer: nil, context: nil)
    // Random weights know no context.
    let lengths = batch.values.map {
      DecodeBenchmark.length(
        batch: $0, position: position, repetitions: repetitions, on: backend)
    }
    let (prompts, written) = self.lengths()
    configuration.contextLength = (prompts + lengths).reduce(
      max(configuration.contextLength, written)
    ) { max($0, $1) }
    try configuration.validate()
    try checkMemory([configuration] + baseline(of: configuration, communicator), weights)
    return try draw(configuration, on: backend, communicator)
  }

  /// Tokens of the prompts, and those to write: of what was not asked for, no more than a context.
  private func lengths(within context: Int = .max) -> (prompts: [Int], written: Int) {
    (prompt.values.isEmpty ? [min(512, context)] : prompt.values, generate ?? min(128, context))
  }

  private var weights: WeightType { inference.precision.weights ?? .bfloat16 }

  private func draw(
    _ configuration: ModelConfiguration, on backend: any InferenceBackend,
    _ communicator: (any Communicator)? = nil
  ) throws -> InferenceModel {
    try InferenceModel(
      configuration, from: RandomWeights(), weights: weights,
      precision: inference.precision.inputs.precision, on: backend, communicator: communicator)
  }

  /// What is timed beside random weights of a configuration: the GLU of its d, where one device has both.
  private func baseline(
    of configuration: ModelConfiguration, _ communicator: (any Communicator)?
  ) -> [ModelConfiguration] {
    guard model == nil, communicator == nil, configuration.feedForward.unit.masks != nil else {
      return []
    }
    var gated = configuration
    gated.feedForward.unit = .glu
    return [gated]
  }

  private func entries(_ model: InferenceModel) throws -> [DecodeBenchmark.Entry] {
    let others = try baseline(of: model.configuration, model.communicator).map {
      try draw($0, on: model.backend)
    }
    return (others + [model]).map { .init(name: $0.configuration.feedForward.name, model: $0) }
  }

  private func checkMemory(
    _ configurations: [ModelConfiguration], _ weights: WeightType
  ) throws(MemoryError) {
    let bytes = configurations.reduce(0.0) { sum, c in
      let cache = 2 * 4 * Double(c.layers) * Double(c.attention.kvWidth)
      let (prompts, written) = lengths()
      let tokens = prompts.reduce(written) { max($0, $1) }
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
