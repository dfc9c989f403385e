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
        mglu serve --model run --host 0.0.0.0 --api-key-file key

      Concurrent requests share the model's steps, and each gets the response that it would get \
      alone. The page at / is for trying a prompt. Ctrl-C and SIGTERM finish the accepted requests \
      and end the server; a second signal ends it at once.

      Give a key that every request must have in a file (--api-key-file) or in the environment \
      (MGLU_API_KEY): others on the machine can read the arguments of a process, --api-key among \
      them.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @Option(help: "Address to listen on; 0.0.0.0 for all of the machine's.") var host = "127.0.0.1"
  @Option(help: "Port; 0 means any free one.") var port = 8080
  @Option(help: "Maximum sequences in a batch; each takes memory for a whole context.")
  var maxBatch = 8
  @Option(help: "Maximum requests that wait; more are refused with status 429.") var maxQueue = 128
  @Option(help: "Maximum tokens of a sequence, prompt included (default: the model's context).")
  var context: Int?
  @Option(help: "Maximum seconds that a request may take, waiting included.") var timeLimit = 600
  @Option(help: "The key that requests must have as Authorization: Bearer.") var apiKey: String?
  @Option(help: "A file whose first line is the key.", completion: .file())
  var apiKeyFile: String?

  func validate() throws {
    for (name, value) in [
      ("--max-batch", maxBatch), ("--max-queue", maxQueue), ("--time-limit", timeLimit),
      ("--context", context ?? 1),
    ] where value < 1 {
      throw ValidationError("\(name) \(value): expected at least 1")
    }
    if apiKey != nil, apiKeyFile != nil {
      throw ValidationError("give either --api-key or --api-key-file")
    }
  }

  #if Server
    func run() async throws {
      let key = try apiKey ?? ServerSettings.apiKey(file: apiKeyFile)
      let settings = ServerSettings(host: host, port: port, apiKey: key)
      try settings.validate()
      let folder = try ModelFolder.locate(model.model)
      let (model, tokenizer) = try model.load(inference)
      let longest = model.configuration.contextLength
      if let context, context > longest {
        throw GenerationError(
          .contextLength, "--context \(context): the model reads at most \(longest) tokens")
      }
      let engine = try Engine(
        model, tokenizer: tokenizer,
        settings: EngineSettings(
          maxSequences: maxBatch, maxQueued: maxQueue, contextLength: context,
          timeLimit: .seconds(timeLimit)))
      let given = Folder.name(of: self.model.model)
      let name =
        ["", ".", ".."].contains(given) ? Folder.name(of: Folder.resolved(self.model.model)) : given
      let template = try ChatTemplate(contentsOf: folder)
      if let problem = template.problem {
        Output.note("\(problem); /v1/chat/completions will refuse, the rest is served")
      }
      let api = ServerAPI(engine, model: name, template: template)
      let secondSignal = Task {
        for await signal in await UnixSignalsSequence(trapping: .sigint, .sigterm).dropFirst() {
          Interrupt.endProcess(after: signal.rawValue)
        }
      }
      defer { secondSignal.cancel() }
      let host = host.contains(":") ? "[\(host)]" : host
      try await Server(api, settings: settings).run { port in
        Output.note("serving \(name) at http://\(host):\(port)")
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
