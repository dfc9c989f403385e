// Continues several prompts at once with the model in a folder:
//
//     swift run -c release GenerateMany FOLDER "To be" "Or not"
import MGLUServing

guard CommandLine.arguments.count > 2 else { fatalError("give the folder of a model, and prompts") }
let folder = try ModelFolder.locate(CommandLine.arguments[1])
let tokenizer = try Tokenizer(contentsOf: folder)
let engine = try Engine(
  ModelFolder.loadForInference(folder, on: CPUBackend()), tokenizer: tokenizer)
var texts = Array(CommandLine.arguments.dropFirst(2))
let request = try engine.submit(
  texts.map {
    GenerationRequest(prompt: tokenizer.encode($0, addsSpecialTokens: true), maxTokens: 50)
  },
  stopSequences: ["\n\n"])
for try await (sequence, event) in request {
  switch event {
  case .token(_, let text, _): texts[sequence] += text
  case .finished(let text, let reason): print(texts[sequence] + text, "(\(reason))")
  case .prompt: break
  }
}
engine.drain()
await engine.waitUntilEnded()
