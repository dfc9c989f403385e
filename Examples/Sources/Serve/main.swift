// Serves the model in a folder as OpenAI's API, until Ctrl-C:
//
//     swift run -c release Serve FOLDER
import MGLUServer

guard CommandLine.arguments.count == 2 else { fatalError("give the folder of a model") }
let folder = try ModelFolder.locate(CommandLine.arguments[1])
let model = try ModelFolder.loadForInference(folder, on: CPUBackend())
let engine = try Engine(
  model, tokenizer: Tokenizer(contentsOf: folder), settings: EngineSettings(maxSequences: 4))
let api = ServerAPI(engine, model: "mine", template: try ChatTemplate(contentsOf: folder))
try await Server(api, settings: ServerSettings(port: 8080)).run { port in
  print("http://127.0.0.1:\(port)")
}
