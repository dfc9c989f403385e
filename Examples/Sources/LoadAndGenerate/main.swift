// Reads the model in a folder, says what it is, and lets it go on with a text:
//
//     swift run LoadAndGenerate FOLDER "To be, or "
import MGLUModel

let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("give the folder of a model, and a text") }
let folder = try ModelFolder.locate(arguments[1])
let tokenizer = try Tokenizer(contentsOf: folder)
// Weights stay in the mapped file where they have the type that is wanted.
let model = try ModelFolder.loadForInference(folder, weights: .bfloat16, on: CPUBackend())
let configuration = model.configuration
print("\(configuration.layers) layers, \(configuration.weightCount) weights")

let generator = try TokenGenerator(
  model, tokenizer: tokenizer, prompt: arguments[2], maximumTokens: 50,
  sampling: SamplingParameters(temperature: 0.8, topP: 0.95, seed: 1))
print(arguments[2], terminator: "")
for try await token in TokenStream(generator) { print(token.text, terminator: "") }
print()
