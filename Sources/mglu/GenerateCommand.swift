import ArgumentParser
import MGLUTraining

/// `mglu generate`.
struct GenerateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a prompt.",
    discussion: """
      Examples:
        mglu generate --model run --prompt "To be, or "
        mglu generate --model run --prompt "" --max-tokens 500 --seed 3
        mglu generate --model run --prompt "KING:" --temperature 0 --weights bf16
        mglu generate --model model.Q8_0.gguf --prompt "Gravity is"

      Only the text goes to standard output, as it is written; with the same seed it is the same.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @Option(help: "Text to continue; empty starts a new sequence.") var prompt: String
  @Option(help: "Maximum tokens to generate.") var maxTokens = 256
  @Option(
    name: [.long, .customLong("temp")], help: "Divides the logits; 0 takes the most probable.")
  var temperature: Float = 0.8
  @Option(help: "Choose among the K most probable; 0 for all.") var topK = 0
  @Option(help: "Choose among the most probable that sum to P.") var topP: Float = 1
  @Option(help: "Leave out tokens less probable than P times the most probable one.")
  var minP: Float = 0
  @Option(help: "Seed of the choice.") var seed: UInt64 = 0
  @Flag(help: "Print one JSON document.") var json = false

  func run() async throws {
    let sampling = SamplingParameters(
      temperature: temperature, topK: topK, topP: topP, minP: minP, seed: seed)
    try sampling.validate()
    let (model, tokenizer) = try model.load(inference)
    let generator = try TokenGenerator(
      model, tokenizer: tokenizer, prompt: prompt, maximumTokens: maxTokens, sampling: sampling)
    if json { return try await printDocument(generator) }
    Output.write(prompt)
    for try await token in TokenStream(generator) { Output.write(token.text) }
    Output.write("\n")
  }

  private func printDocument(_ generator: TokenGenerator) async throws {
    struct Document: Encodable {
      let text: String
      let tokens: Int
      let promptTokens: Int
      let tokensPerSecond: Double
    }
    let start = ContinuousClock.now
    var (text, count) = ("", 0)
    for try await token in TokenStream(generator) {
      text += token.text
      count += 1
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    Output.json(
      Document(
        text: text, tokens: count, promptTokens: generator.promptTokenCount,
        tokensPerSecond: seconds > 0 ? Double(count) / seconds : 0))
  }
}
