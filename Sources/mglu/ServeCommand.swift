import ArgumentParser
import MGLUServer

#if Server
  import UnixSignals
#endif

/// `mglu serve`.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a model over HTTP, as OpenAI's API has it.",
    discussion: """
      Examples:
        mglu serve --model run
        mglu serve --model run --weights bf16 --max-batch 16 --port 8000
        mglu serve --model run --device cuda --context 4096
        mglu serve --model run --device cuda --replicas all
        mglu serve --model run --device cuda:0,1
        mglu serve --model run --host 0.0.0.0 --api-key-file key

      Concurrent requests share the model's steps, and each gets the response that it would get \
      alone. What prompts have in common is read once. On a GPU the key-value cache takes memory \
      that is free; requests wait while it is full. Replicas on several GPUs share the requests, and \
      --device cuda:0,1 shares out a model that is too large for one; \
      --max-batch and the options of memory hold for each. /health has status 503 until kernels are \
      compiled and requests are computed at once. The page at / is for trying a prompt. Ctrl-C and \
      SIGTERM finish the accepted requests and end the server; a second signal ends it at once.

      Web pages of others can neither use nor read the server: --cors-origin names those that may. \
      Without a key, requests must ask for this machine by an address, localhost or a name that \
      --allow-host gives. Clients that wait get equal shares, told apart by their addresses.

      Give a key that every request must have in a file (--api-key-file) or in the environment \
      (MGLU_API_KEY): others on the machine can read the arguments of a process, --api-key among \
      them.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @OptionGroup var replication: ReplicaOptions
  @Option(help: "Address to listen on; 0.0.0.0 for all of the machine's.") var host = "127.0.0.1"
  @Option(help: "Port; 0 means any free one.") var port = 8080
  @Option(
    help: "Maximum sequences in a batch, up to 65536 (default: 256 on a GPU, 8 on a CPU).")
  var maxBatch: Int?
  @Option(
    help: "Maximum requests that wait; beyond it the client with most gets status 429.")
  var maxQueue = 128
  @Option(help: "Maximum tokens of a sequence, prompt included (default: the model's context).")
  var context: Int?
  @Option(
    help: """
      Bytes of the key-value cache, as in 8G (default: enough for a whole batch of whole contexts; \
      on a GPU up to twice that, of what --gpu-memory-utilization leaves).
      """)
  var kvCacheMemoryBytes: ByteCount?
  @Option(help: "Share of the GPU's memory to use, weights included.")
  var gpuMemoryUtilization = 0.9
  @Option(help: "Maximum seconds that a request may take, waiting included.") var timeLimit = 600
  @Option(
    name: [.customLong("served-model-name"), .customLong("model-alias")],
    help: "Name of the model for clients (default: that of its folder); repeat it for more names.")
  var servedModelName: [String] = []
  @Option(help: "A further name of this machine that requests may have; * for any.")
  var allowHost: [String] = []
  @Option(help: "Origin of web pages that may use the server; * for any.")
  var corsOrigin: [String] = []
  @Option(help: "The key that requests must have as Authorization: Bearer.") var apiKey: String?
  @Option(help: "A file whose first line is the key.", completion: .file())
  var apiKeyFile: String?

  func validate() throws {
    for (name, value) in [
      ("--max-batch", maxBatch ?? 1), ("--max-queue", maxQueue), ("--time-limit", timeLimit),
      ("--context", context ?? 1),
    ] where value < 1 {
      throw ValidationError("\(name) \(value): expected at least 1")
    }
    let most = EngineSettings.mostSequences
    if let maxBatch, maxBatch > most {
      throw ValidationError("--max-batch \(maxBatch): expected at most \(most)")
    }
    guard gpuMemoryUtilization > 0, gpuMemoryUtilization <= 1 else {
      throw ValidationError(
        "--gpu-memory-utilization \(gpuMemoryUtilization): expected more than 0 and at most 1")
    }
    if apiKey != nil, apiKeyFile != nil {
      throw ValidationError("give either --api-key or --api-key-file")
    }
  }

  #if Server
    func run() async throws {
      let key = try apiKey ?? ServerSettings.apiKey(file: apiKeyFile)
      let settings = ServerSettings(
        host: host, port: port, apiKey: key, allowedHosts: allowHost, corsOrigins: corsOrigin)
      try settings.validate()
      try await model.withModels(inference, replication, of: self) {
        try await serve($0, key: key, settings)
      }
    }

    private func serve(
      _ models: [InferenceModel], key: String?, _ settings: ServerSettings
    ) async throws {
      let model = models[0]
      let tokenizer = try self.model.tokenizer(for: model)
      let folder = try ModelFolder.locate(self.model.model)
      let longest = model.configuration.contextLength
      if let context, context > longest {
        throw GenerationError(
          .contextLength, "--context \(context): the model reads at most \(longest) tokens")
      }
      let engine = try Engine(
        model, replicas: Array(models.dropFirst()), tokenizer: tokenizer,
        settings: EngineSettings(
          maxSequences: maxBatch, maxQueued: maxQueue, contextLength: context,
          cacheBytes: kvCacheMemoryBytes?.value, memoryUtilization: gpuMemoryUtilization,
          timeLimit: .seconds(timeLimit)), progress: CompilationProgress().update)
      let given = Folder.name(of: self.model.model)
      let folderName =
        ["", ".", ".."].contains(given) ? Folder.name(of: Folder.resolved(self.model.model)) : given
      let name = servedModelName.first ?? folderName
      let template = try ChatTemplate(contentsOf: folder)
      if let problem = template.problem {
        Output.note("\(problem); /v1/chat/completions will refuse, the rest is served")
      }
      let parts = [
        MGLUCommand.configuration.version, model.backend.summary, model.weightType.rawValue,
      ]
      let checksum = CRC32C.checksum(Array(parts.joined(separator: "\n").utf8))
      let api = ServerAPI(
        engine, model: name, aliases: Array(servedModelName.dropFirst()), template: template,
        fingerprint: "b" + String(checksum, radix: 16))
      let secondSignal = Task {
        for await signal in await UnixSignalsSequence(trapping: .sigint, .sigterm).dropFirst() {
          Interrupt.endProcess(after: signal.rawValue)
        }
      }
      defer { secondSignal.cancel() }
      let host = host.contains(":") ? "[\(host)]" : host
      let server = try Server(api, settings: settings)
      let (ports, started) = AsyncStream.makeStream(of: Int.self)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          defer { started.finish() }
          try await server.run { started.yield($0) }
        }
        group.addTask {
          for await port in ports {
            if !settings.isLocal, key == nil {
              Output.note(
                "warning: without a key, everyone who reaches \(settings.host) can use this server")
            }
            do throws(ServingError) { try await api.prepare() } catch {
              // A signal that comes first ends the server as it does later.
              if error.code == .draining { return }
              throw error
            }
            Output.note("serving \(name) at http://\(host):\(port)")
          }
        }
        // Whatever fails ends the other.
        try await group.waitForAll()
      }
    }
  #else
    func run() async throws {
      throw ServerError(
        .unavailable, "this mglu was built without its server",
        remedy: "build it with the trait Server, which is on by default: swift build -c release")
    }
  #endif
}
