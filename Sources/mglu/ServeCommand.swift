import ArgumentParser
import MGLUServer

/// `mglu serve`.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a model over HTTP, as OpenAI's API has it.",
    discussion: """
      Examples:
        mglu serve --model run
        mglu serve --model run --weights bf16 --max-batch 16 --port 8000
        curl localhost:8080/v1/completions -d '{"prompt": "To be, or ", "max_tokens": 32}'

      Concurrent requests are computed together, and get the answers that they would get alone.
      At / is a page to try a prompt. Ctrl-C and SIGTERM finish what was begun.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @Option(help: "Address to listen on; 0.0.0.0 for every one.") var host = "127.0.0.1"
  @Option(help: "Port; 0 takes a free one.") var port = 8080
  @Option(help: "Most texts at once; each has room for a context in memory.") var maxBatch = 8
  @Option(help: "Most requests that wait; more are refused with 429.") var maxQueue = 128
  @Option(help: "Most tokens of a text (default: the model's context).") var context: Int?
  @Option(help: "Seconds that a request may take, its waiting included.") var timeLimit = 600
  @Option(help: "What requests must carry as Authorization: Bearer.") var apiKey: String?

  func validate() throws {
    for (name, value) in [
      ("--max-batch", maxBatch), ("--max-queue", maxQueue), ("--time-limit", timeLimit),
      ("--context", context ?? 1),
    ] where value < 1 {
      throw ValidationError("\(name) \(value): expected at least 1")
    }
  }

  #if Server
    func run() async throws {
      let settings = ServerSettings(host: host, port: port, apiKey: apiKey)
      try settings.validate()
      let folder = try ModelFolder.locate(model.model)
      let (decoder, tokenizer) = try model.load(inference)
      let engine = try Engine(
        decoder, tokenizer: tokenizer,
        settings: EngineSettings(
          mostTexts: maxBatch, mostWaiting: maxQueue, context: context,
          timeLimit: .seconds(timeLimit)))
      let given = Folder.name(of: model.model)
      let name =
        ["", ".", ".."].contains(given) ? Folder.name(of: Folder.resolved(model.model)) : given
      let api = ServerAPI(engine, model: name, template: try ChatTemplate(contentsOf: folder))
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
