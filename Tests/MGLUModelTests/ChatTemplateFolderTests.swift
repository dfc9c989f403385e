import MGLUModel
import MGLUTestSupport
import Testing

@Suite struct ChatTemplateFolderTests {
  @Test func foldersHaveTemplates() throws {
    try withTemporaryFolder { folder in
      func write(_ name: String, _ text: String) throws {
        try AtomicFile.write(Array(text.utf8), to: folder + "/" + name)
      }
      func rendered() throws -> String {
        try ChatTemplate(contentsOf: folder).render([ChatMessage(role: "user", content: "Hi")])
      }
      #expect(try rendered() == "User: Hi\nAssistant:")
      try write(
        "tokenizer_config.json",
        #"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": null, "chat_template":"#
          + #""{{ bos_token }}{{ messages[0].content }}{{ pad_token }}"}"#)
      #expect(try rendered() == "<s>Hi")
      #expect(try ChatTemplate(contentsOf: folder).stopSequences == ["</s>"])
      try write(
        "tokenizer_config.json",
        #"{"chat_template": [{"name": "tool_use", "template": "a"},"#
          + #"{"name": "default", "template": "{{ messages | length }}"}]}"#)
      #expect(try rendered() == "1")
      try write("chat_template.jinja", "{{ messages[0].role }}{{ '!' if add_generation_prompt }}\n")
      #expect(try rendered() == "user!")
      try write("chat_template.jinja", "{% unheard-of %}")
      #expect(try ChatTemplate(contentsOf: folder).problem?.code == .unsupported)
    }
  }
}
