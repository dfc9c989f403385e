import ArgumentParser
import MGLUTraining

extension TokenizerCommand {
  /// `mglu tokenizer chat`.
  struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the prompt that a model's chat template makes of messages.",
      discussion: """
        Example:
          mglu tokenizer chat --model run --messages chat.json

        chat.json is a list such as [{"role": "user", "content": "Hi"}]. In /v1/chat/completions of mglu serve the model continues the same prompt. Without a template \
        of its own a model gets lines that begin with who speaks.
        """)

    @Option(help: "Folder of a model, or a GGUF file.", completion: .file()) var model: String
    @Option(help: "A file with the messages, in JSON.", completion: .file()) var messages: String
    @Flag(help: "Print one JSON document.") var json = false

    private struct Message: Decodable {
      let role: String
      let content: String
    }

    func run() throws {
      let template = try ChatTemplate(contentsOf: ModelFolder.locate(model))
      let messages = try ModelFolder.decode([Message].self, path: messages)
      let prompt = try template.render(
        messages.map { ChatMessage(role: $0.role, content: $0.content) })
      if json { Output.json(["text": prompt]) } else { Output.line(prompt) }
    }
  }
}
