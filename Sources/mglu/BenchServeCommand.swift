import ArgumentParser
import MGLUBenchmark
import MGLUReports
import MGLUServer

/// `mglu bench serve`.
struct ServeBenchmarkCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Time streaming clients of a server of this process.",
    discussion: """
      Examples:
        mglu bench serve --model run --clients 1,8
        mglu bench serve --model run --device cuda --clients 1,8,64 --prompt 128 --generate 64 --json
        mglu bench serve --model run --device cuda --replicas all --clients 64,512

      Clients stream a completion each over HTTP on this machine and begin together; no two prompts \
      are alike. Tokens/s count from the first request to the last token, the first token from a \
      client's request; both are medians of all rounds after the first. "of bound" is over what \
      prompts, one after the other, and steps of all clients allow by their bytes, and by \
      arithmetic on a GPU, where replicas have equal shares of the clients.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @OptionGroup var replication: ReplicaOptions
  @Option(help: "Clients at a time; several numbers with commas between them.")
  var clients = CountList([1, 8])
  @Option(help: "Tokens of a prompt.") var prompt = 128
  @Option(help: "Tokens that each client asks for.") var generate = 64
  @Option(help: "Rounds.") var rounds = 5
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    for (name, value) in [("prompt", prompt), ("generate", generate), ("rounds", rounds)]
    where !(1...1 << 20).contains(value) {
      throw ValidationError("--\(name) \(value): expected 1 to \(1 << 20)")
    }
    // Each is a thread.
    for count in clients.values where !(1...4096).contains(count) {
      throw ValidationError("--clients \(count): expected 1 to 4096")
    }
  }

  #if Server
    func run() async throws {
      try await model.withModels(inference, replication, of: self) { try await measure($0) }
    }

    private func measure(_ models: [InferenceModel]) async throws {
      let model = models[0]
      let tokenizer = try self.model.tokenizer(for: model)
      let most = clients.values.max() ?? 1
      let length = prompt + generate
      guard length <= model.configuration.contextLength else {
        throw GenerationError(
          .contextLength,
          "\(length) tokens: the model reads at most \(model.configuration.contextLength)",
          remedy: "choose a smaller --prompt or --generate")
      }
      // Before the engine runs: a backend serves one thread at a time.
      let target = try BenchmarkTarget(
        models.count > 1 && model.backend is CPUBackend
          ? CPUBackend(threads: self.model.threads) : model.backend)
      let reading = try target.reading(of: [model.matrices])
      _ = try reading.microseconds(0)
      let bandwidth = Double(reading.byteCount) / (try reading.microseconds(0) * 1e-6)
      let productRate = try StepBound.productRate(on: model.backend)
      let begin = ContinuousClock.now
      let engine = try Engine(
        model, replicas: Array(models.dropFirst()), tokenizer: tokenizer,
        settings: EngineSettings(
          maxSequences: max(most, model.backend.deviceMemory == nil ? 8 : 256),
          maxQueued: most + 1, contextLength: length))
      let api = ServerAPI(engine, model: "model")
      let server = try Server(api, settings: .init(port: 0))
      let (ports, started) = AsyncStream.makeStream(of: Int.self)
      let serving = Task {
        defer { started.finish() }
        try await server.run { started.yield($0) }
      }
      var results: [Result] = []
      for await port in ports {
        try await api.prepare()
        let loading = (ContinuousClock.now - begin) / .seconds(1)
        if !json { Output.line(head(model.backend.summary, models.count, bandwidth, loading)) }
        let load = ClientLoad(
          port: port, prompt: prompt, generate: generate,
          vocabulary: model.configuration.vocabularySize)
        for count in clients.values {
          let measured = try await load.measure(clients: count, rounds: rounds)
          // GPUs have memory of their own; the CPU's replicas share it.
          let sharing = model.backend is CPUBackend ? min(count, models.count) : 1
          let bound = StepBound(
            model, bandwidth: bandwidth / Double(sharing), productRate: productRate)
          let share = (count + models.count - 1) / models.count
          let seconds =
            Double(share) * bound.prefill(prompt) + Double(generate)
            * bound.decode(rows: share, position: Double(prompt) + Double(generate) / 2)
          let result = Result(
            model: model.configuration.feedForward.name, weights: model.weightType.rawValue,
            replicas: models.count, clients: count, prompt: prompt, generate: generate,
            tokensPerS: measured.tokensPerSecond, firstTokenMs: 1e3 * measured.firstToken,
            boundTokensPerS: Double(count * generate) / seconds)
          if !json { Output.line(result.row) }
          results.append(result)
        }
        break
      }
      serving.cancel()
      try await serving.value
      guard json else { return }
      Output.json(
        Document(
          machine: model.backend.summary, readGbPerS: bandwidth / 1e9, results: results))
    }
  #else
    func run() async throws {
      throw ServerError(
        .unavailable, "this mglu was built without its server",
        remedy: "build it with the trait Server, which is on by default: swift build -c release")
    }
  #endif

  private func head(
    _ machine: String, _ replicas: Int, _ bandwidth: Double, _ loading: Double
  ) -> String {
    """
    \(machine)\(replicas > 1 ? "; \(replicas) replicas" : ""); reads \(NumberFormat.fixed(bandwidth / 1e9, 1)) GB/s; ready after \
    \(NumberFormat.fixed(loading, 2)) s
    \(prompt) tokens a prompt, \(generate) generated

    | model | weights | clients | tokens/s | of bound | first token, ms |
    | --- | --- | --- | --- | --- | --- |
    """
  }

  private struct Document: Encodable {
    let machine: String
    let readGbPerS: Double
    let results: [Result]
  }

  private struct Result: Encodable {
    let model: String
    let weights: String
    let replicas: Int
    let clients: Int
    let prompt: Int
    let generate: Int
    let tokensPerS: Double
    let firstTokenMs: Double
    let boundTokensPerS: Double

    var row: String {
      let cells = [
        model, weights, "\(clients)", NumberFormat.fixed(tokensPerS, 1),
        NumberFormat.fixed(100 * tokensPerS / boundTokensPerS, 1) + " %",
        NumberFormat.fixed(firstTokenMs, 2),
      ]
      return "| " + cells.joined(separator: " | ") + " |"
    }
  }
}
