import MGLUTemplates

/// JSON and templates.
enum TextTargets {
  private static let writer = ChatTemplate(source: "{{ value | tojson }}")

  /// What is read is written, and read again as the same.
  static func json(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let value = try? TemplateValue(json: bytes),
      let written = try? writer.render([], variables: ["value": value])
    else { return }
    guard let again = try? TemplateValue(json: written.utf8),
      let twice = try? writer.render([], variables: ["value": again])
    else { throw FuzzFinding("written, but not read: \(written.debugDescription)") }
    guard twice.utf8.elementsEqual(written.utf8) else {
      throw FuzzFinding("\(written.debugDescription) became \(twice.debugDescription)")
    }
  }

  static func template(_ bytes: [UInt8]) throws(FuzzFinding) {
    try render(String(decoding: bytes, as: UTF8.self))
  }

  static func expression(_ bytes: [UInt8]) throws(FuzzFinding) {
    var template = GeneratedTemplate(ByteChoices(bytes))
    try render(template.source())
  }

  private static let messages = [
    ChatMessage(role: "system", content: "You are."),
    ChatMessage(role: "user", content: "Hi <b>\n"),
    ChatMessage(role: "assistant", content: "  Yes.</think> so"),
    ChatMessage(role: "user", content: "e\u{301}?"),
  ]
  private static let variables: [String: TemplateValue] = [
    "n": .integer(3), "big": .largeInteger("123456789012345678901234567890"), "r": .real(0.5),
    "x": .string("a b"), "z": .list([.string("a"), .integer(-1), .real(1.5), .none]),
    "d": .mapping(["a": .integer(1), "b": .list([.mapping(["role": .string("q")])])]),
  ]

  /// A template that can be read renders, or fails, and does so again.
  private static func render(_ source: String) throws(FuzzFinding) {
    let template = ChatTemplate(source: source, specialTokens: ["bos_token": "<s>"])
    func result() -> String {
      do throws(TemplateError) { return try template.render(messages, variables: variables) } catch
      {
        return "\(error.code): \(error.message)"
      }
    }
    // Time and chance differ.
    if source.contains("strftime_now") || source.contains("random") || source.contains("shuffle")
      || source.contains("lipsum")
    {
      _ = result()
    } else {
      let first = result()
      let second = result()
      guard first.utf8.elementsEqual(second.utf8) else {
        throw FuzzFinding("\(first.debugDescription), then \(second.debugDescription)")
      }
    }
  }
}
