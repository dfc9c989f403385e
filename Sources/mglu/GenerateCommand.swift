import ArgumentParser
import MGLUServer

/// `mglu generate`.
struct GenerateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a prompt, or answer it with a chat model.",
    discussion: """
      Examples:
        mglu generate --model run --prompt "To be, or "
        mglu generate --model run --prompt "" --max-tokens 500 --seed 3
        mglu generate --model run --prompt "KING:" --temperature 0 --weights bf16
        mglu generate --model model.Q8_0.gguf --prompt "Gravity is" --raw
        mglu generate --model chat --system "Be brief." < question.txt

      A model with a chat template gets the prompt as the message of a user, and its answer alone is \
      written; with --raw, as with other models, it continues the prompt. Only text goes to standard \
      output, as it is generated; with the same seed it is the same.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @Option(
    help: "Text to continue or answer (default: standard input); empty starts a new sequence.")
  var prompt: String?
  @Option(help: "Instructions before the prompt, for a chat model.") var system: String?
  @Flag(help: "Continue the prompt itself, without the model's chat template.") var raw = false
  @OptionGroup var sampling: SamplingOptions
  @Flag(help: "Print one JSON document.") var json = false

  func validate() throws {
    if raw, system != nil { throw ValidationError("--raw and --system exclude each other") }
  }

  func run() async throws {
    _ = try sampling.parameters()
    try await model.withModel(inference, of: self) { try await generate($0) }
  }

  private func generate(_ model: InferenceModel) async throws {
    let tokenizer = try self.model.tokenizer(for: model)
    let template = try ChatTemplate(contentsOf: ModelFolder.locate(self.model.model))
    let chats = !raw && template.source != nil
    if !chats, system != nil {
      throw ValidationError("--system: this model has no chat template")
    }
    let prompt = try prompt ?? Input.text()
    let generator: TokenGenerator
    var stops = sampling.stop
    if chats {
      let messages =
        (system.map { [ChatMessage(role: "system", content: $0)] } ?? [])
        + [ChatMessage(role: "user", content: prompt)]
      generator = try TokenGenerator(model, tokenizer, template, messages: messages, sampling)
      stops += template.stopSequences
    } else {
      generator = try TokenGenerator(
        model, tokenizer: tokenizer, prompt: prompt, maximumTokens: sampling.maxTokens,
        sampling: try sampling.parameters())
    }
    if json { return try await printDocument(generator, stops) }
    if !chats { Output.write(prompt) }
    _ = try await generator.write(until: stops, to: Output.write)
    Output.write("\n")
  }

  private func printDocument(_ generator: TokenGenerator, _ stops: [String]) async throws {
    struct Document: Encodable {
      let text: String
      let tokens: Int
      let promptTokens: Int
      let tokensPerSecond: Double
    }
    let start = ContinuousClock.now
    var text = ""
    let count = try await generator.write(until: stops) { text += $0 }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    Output.json(
      Document(
        text: text, tokens: count, promptTokens: generator.promptTokenCount,
        tokensPerSecond: seconds > 0 ? Double(count) / seconds : 0))
  }
}
