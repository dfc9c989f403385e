import ArgumentParser
import MGLUServer

/// `mglu chat`.
struct ChatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Chat with a model.",
    discussion: """
      Examples:
        mglu chat --model chat
        mglu chat --model chat.Q8_0.gguf --system "Be brief."
        printf 'Hi.\\nAnd in French?\\n' | mglu chat --model chat --temperature 0

      Each line of standard input is a message; the model is given the whole chat each time, through its \
      chat template. /new begins anew, /exit or Ctrl-D ends. Only answers go to standard output.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var inference: InferenceOptions
  @Option(help: "Instructions before the first message.") var system: String?
  @OptionGroup var sampling: SamplingOptions

  func run() async throws {
    _ = try sampling.parameters()
    try await model.withModel(inference, of: self) { try await chat($0) }
  }

  private func chat(_ model: InferenceModel) async throws {
    let tokenizer = try self.model.tokenizer(for: model)
    let template = try ChatTemplate(contentsOf: ModelFolder.locate(self.model.model))
    if let problem = template.problem { throw problem }
    if template.source == nil {
      Output.note("This model has no chat template: it gets lines that begin with who speaks.")
    }
    let start = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
    var messages = start
    if Input.isInteractive { Output.note("/new begins anew, /exit ends.") }
    while let line = nextLine() {
      switch line {
      case "": continue
      case "/exit": return
      case "/new":
        messages = start
        continue
      default: break
      }
      let asked = messages + [ChatMessage(role: "user", content: line)]
      do {
        let generator = try TokenGenerator(
          model, tokenizer, template, messages: asked, sampling)
        var answer = ""
        _ = try await generator.write(until: sampling.stop + template.stopSequences) { text in
          answer += text
          Output.write(text)
        }
        Output.write("\n")
        messages = asked + [ChatMessage(role: "assistant", content: answer)]
      } catch let error as GenerationError where error.code == .contextLength {
        Output.note("\(error.message); /new begins anew")
      }
    }
  }

  private func nextLine() -> String? {
    if Input.isInteractive { Output.ask("> ") }
    return readLine()
  }
}
