import Foundation
import MGLUTemplates
import MGLUTestSupport
import Testing

@Suite struct ChatTemplateTests {
  private struct Vectors: Decodable {
    struct Case: Decodable {
      let name: String
      let template: String
      /// The common ones, where it has none of its own.
      let variables: [String: TemplateValue]?
      let output: String?
      /// What jinja2 refuses is refused here, in other words.
      let error: String?
    }
    let values: [String: TemplateValue]
    let cases: [Case]
  }

  private static func vectors() throws -> Vectors {
    let path = RepositoryFolder.vectors + "/chat_templates.json"
    return try JSONDecoder().decode(
      Vectors.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
  }

  /// Byte for byte what jinja2 renders, set up as transformers does.
  @Test func stringsAreThoseOfJinja() throws {
    let vectors = try Self.vectors()
    #expect(vectors.cases.count > 100)
    for item in vectors.cases {
      func render() throws -> String {
        try Template(item.template).render(item.variables ?? vectors.values)
      }
      if let output = item.output {
        let found = try render()
        #expect(found.utf8.elementsEqual(output.utf8), "\(item.name): \(found)")
      } else {
        let error = #expect(throws: TemplateError.self, "\(item.name)") { try render() }
        if error?.code == .refused { #expect(error?.message == item.error) }
      }
    }
  }

  @Test(arguments: [
    ("a\n{% include 'x' %}", "line 2: {% include %}"), ("{{ a|sum }}", "the filter sum"),
    ("{{ a is filterx }}", "the test filterx"), ("{{ 2 ** 3 }}", "**"),
    ("\n\n{{ f(*a) }}", "line 3: * before"), ("{{ a|trim(b=1) }}", "the argument b"),
    ("{% for a in b recursive %}{% endfor %}", "recursive"), ("{{ 'a' }", "does not end"),
    ("{# a", "does not end"), ("{% if a %}", "missing"), ("{% break %}", "outside"),
    ("{{ lipsum() }}", "lipsum"), ("x\n{{ messages.sort() }}", "line 2: a list has no"),
    ("{{ {1: 2} }}", "a number as a key"), ("{{ 'a' % 1 }}", "a string % a number"),
  ])
  func whatIsNotUnderstoodIsNamed(source: String, words: String) throws {
    let error = #expect(throws: TemplateError.self) {
      try ChatTemplate(source: source).render([])
    }
    #expect("\(try #require(error))".contains(words), "\(String(describing: error))")
  }

  /// Each ends, and soon.
  @Test(arguments: [
    "{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}",
    "{% set ns = namespace(t='x') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
    "{% set ns = namespace(t=[]) %}{% for i in range(99) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}",
    "{% set ns = namespace(t=[]) %}{% for i in range(9999) %}{% set ns.t = [ns.t] %}{% endfor %}",
    "{% set ns = namespace(t='xxx') %}{% for i in range(99) %}"
      + "{% set ns.t = ns.t | replace('x', ns.t) %}{% endfor %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{{ range(9223372036854775807) }}",
    "{% set ns = namespace(t=[range(99999)]) %}{% for i in range(60) %}{% set ns.t = [ns.t] %}"
      + "{% endfor %}{{ ns.t | tojson(indent=256) }}",
    "{% set ns = namespace(x='a') %}{% for i in range(22) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
      + "{% set ns.t = [ns.x] %}{% for i in range(10) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}"
      + "{{ ns.t }}",
  ])
  func runawaysAreStopped(source: String) {
    #expect(Self.code(source) == .limit)
  }

  /// A text that almost is where it is looked for, at each of four million places.
  @Test(arguments: [
    "y in ns.x", "ns.x.find(y) < 0", "ns.x.count(y)", "ns.x.replace(y, '') == ns.x",
  ])
  func searchesTakeTheirTextsTime(search: String) throws {
    let source =
      "{% set ns = namespace(x='a') %}{% for i in range(22) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
      + "{% set y = ns.x[:1000000] ~ 'b' %}{{ \(search) }}"
    let found = try ChatTemplate(source: source).render([])
    #expect(found == ["y in ns.x": "False", "ns.x.count(y)": "0"][search] ?? "True")
  }

  @Test(arguments: [
    ("-1", #"[\n1,\n2\n]"#), ("0", #"[\n1,\n2\n]"#), ("2", #"[\n  1,\n  2\n]"#), ("257", ""),
    ("9223372036854775807", ""),
  ])
  func indentsOfJSONAreNoTrap(indent: String, expected: String) {
    let source = "{{ [1, 2] | tojson(indent=\(indent)) }}"
    let text = try? ChatTemplate(source: source).render([])
    #expect(
      text == (expected.isEmpty ? nil : expected.replacingOccurrences(of: #"\n"#, with: "\n")))
  }

  /// What would exhaust the stack of who reads or renders it.
  @Test(arguments: ["(", "1+", "not ", "-", "[", "1 if 1 else ", "a[", "{'a':"])
  func deepTemplatesAreRefused(part: String) {
    let closing = ["(": ")", "[": "]", "a[": "]", "{'a':": "}"][part] ?? ""
    let source =
      String(repeating: part, count: 9999) + "1" + String(repeating: closing, count: 9999)
    #expect(Self.code("{{ \(source) }}") == .limit)
    #expect(Self.code("{% if \(source) %}") == .limit)
  }

  @Test func deepBlocksAreRefused() {
    #expect(Self.code(String(repeating: "{% if 1 %}", count: 100_000)) == .limit)
    #expect(Self.code(String(repeating: "{% if 1 %}{% else %}", count: 100_000)) == .limit)
  }

  private static func code(_ source: String) -> TemplateProblem? {
    do throws(TemplateError) { _ = try ChatTemplate(source: source).render([]) } catch {
      return error.code
    }
    return nil
  }

  @Test func variablesReachTheTemplate() throws {
    let template = ChatTemplate(
      source: "{{ thinking }}{{ tools is none }}{{ strftime_now('%Y') | length }}")
    #expect(try template.render([], variables: ["thinking": .boolean(true)]) == "TrueTrue4")
    #expect(try template.render([]) == "True4")
  }
}
