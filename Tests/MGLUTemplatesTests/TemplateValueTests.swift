import MGLUTemplates
import Testing

@Suite struct TemplateValueTests {
  @Test func mappingsKeepTheirOrder() throws {
    let json =
      #"{"b": [1, -2.5, "é\ud83d\ude00\n", null, true], "a": {"z": 123456789012345678901, "y": {}}}"#
    let value = try TemplateValue(json: json.utf8)
    let text = try Template("{{ v | tojson }}").render(["v": value])
    #expect(text == json.replacing(#"\ud83d\ude00"#, with: "😀"))
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\" 1}", "\"a", "01", "1.", "-", "+1", "tru", "[1] 2", "\"\\ud83d\"",
    "\"\\x\"", "\"\u{1}\"", "{\"a\":1,}", "nul", "1e", ".5", "\"\\u12g4\"", "'a'",
  ])
  func whatIsNoJSONIsRefused(json: String) {
    #expect(throws: TemplateError.self) { try TemplateValue(json: json.utf8) }
  }

  @Test func depthIsBounded() {
    let json = String(repeating: "[", count: 100_000)
    let error = #expect(throws: TemplateError.self) { try TemplateValue(json: json.utf8) }
    #expect(error?.code == .limit)
  }
}
