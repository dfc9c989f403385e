import Foundation
import Testing

/// Chats, and prompts to chat models.
@Suite struct ChatCommandTests {
  private static let template =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}A:"

  /// Calls `body` with a small model that has a chat template.
  private static func withChatModel(_ body: (_ model: String) throws -> Void) throws {
    try withText { folder, text in
      let run = folder + "/run"
      #expect(try mglu(CommandTests.train(text, run, ["--steps", "3"])).status == 0)
      try Data(template.utf8).write(to: URL(fileURLWithPath: run + "/chat_template.jinja"))
      try body(run)
    }
  }

  /// The answer is what continues the prompt that the template makes; standard input is a prompt.
  @Test func promptsOfChatModelsAreAnswered() throws {
    try Self.withChatModel { model in
      let exact = ["--model", model, "--max-tokens", "9", "--temperature", "0"]
      func generate(_ arguments: [String], input: String? = nil) throws -> String {
        let result = try mglu(["generate"] + exact + arguments, input: input)
        #expect(result.status == 0, "\(result.errors)")
        return result.output
      }
      let prompt = "system: Be brief.\nuser: Hi\nA:"
      let raw = try generate(["--raw", "--prompt", prompt])
      #expect(raw.hasPrefix(prompt))
      let system = ["--system", "Be brief."]
      #expect(try prompt + generate(system + ["--prompt", "Hi"]) == raw)
      #expect(try prompt + generate(system, input: "Hi\n") == raw)
      #expect(try generate(["--raw"], input: prompt) == raw)
      // A text ends before a stop sequence.
      let answer = raw.dropFirst(prompt.count).dropLast()
      let stop = String(try #require(answer.dropFirst().first))
      let stopped = try generate(["--raw", "--prompt", prompt, "--stop", stop])
      #expect(
        stopped == prompt
          + (answer.firstRange(of: stop).map { String(answer[..<$0.lowerBound]) } ?? "") + "\n")
      // A penalty changes what repeats itself.
      let penalty = ["--repetition-penalty", "100", "--raw", "--prompt", prompt]
      #expect(try generate(penalty) != raw)
    }
  }

  /// Each message is answered with the whole chat in view.
  @Test func chatsHaveAHistory() throws {
    try Self.withChatModel { model in
      let exact = ["--model", model, "--max-tokens", "7", "--temperature", "0"]
      let chat = try mglu(["chat"] + exact, input: "Hi\n/new\nHi\nHo\n/exit\nnever\n")
      #expect(chat.status == 0, "\(chat.errors)")
      func answer(_ prompt: String) throws -> String {
        let result = try mglu(["generate"] + exact + ["--raw", "--prompt", prompt])
        return String(result.output.dropFirst(prompt.count))
      }
      let first = try answer("user: Hi\nA:")
      let history = "user: Hi\nassistant: \(first.dropLast())\nuser: Ho\nA:"
      #expect(chat.output == first + first + (try answer(history)))
      let long = try mglu(
        ["chat"] + exact, input: String(repeating: "long ", count: 2000) + "\nHi\n")
      #expect(long.status == 0 && long.errors.contains("/new") && long.output == first)
    }
  }

  @Test func theProgramHasAVersion() throws {
    let version = try mglu(["--version"])
    #expect(version.status == 0 && version.output.first?.isNumber == true)
  }
}
