import Foundation
import MGLUTemplates
import MGLUTestSupport
import Testing

@Suite struct ChatTemplateTests {
  private static func vectors() throws -> TemplateValue {
    let path = RepositoryFolder.vectors + "/chat_templates.json"
    return try TemplateValue(json: Data(contentsOf: URL(fileURLWithPath: path)))
  }

  /// Byte for byte what jinja2 renders, set up as transformers does; what it refuses is refused, in
  /// other words.
  @Test func stringsAreThoseOfJinja() throws {
    let vectors = try Self.vectors()
    let values = try #require(vectors["values"])
    guard case .list(let cases)? = vectors["cases"] else { throw CancellationError() }
    #expect(cases.count > 250)
    for item in cases {
      let (name, source) = (item["name"]?.text ?? "", try #require(item["template"]?.text))
      guard case .mapping(let variables) = item["variables"] ?? values else { continue }
      let named = Dictionary(uniqueKeysWithValues: variables.map { ($0.key, $0.value) })
      func render() throws -> String { try Template(source).render(named) }
      if let output = item["output"]?.text {
        let found = try render()
        #expect(found.utf8.elementsEqual(output.utf8), "\(name): \(found)")
      } else {
        let error = #expect(throws: TemplateError.self, "\(name)") { try render() }
        if error?.code == .refused { #expect(error?.message == item["error"]?.text) }
      }
    }
  }

  @Test(arguments: [
    ("a\n{% include 'x' %}", "line 2: {% include %}"), ("{{ a|nothing }}", "the filter nothing"),
    ("{{ a is filterx }}", "the test filterx"), ("{% trans %}", "{% trans %}"),
    ("\n\n{{ raise_exception(*a) }}", "line 3: raise_exception lacks"),
    ("{{ a|trim(b=1) }}", "no argument b"), ("{{ namespace().a.b }}", "no member a"),
    ("{{ 'a' }", "without its opening"), ("{# a", "does not end"), ("{% raw %}", "does not end"),
    ("{% if a %}", "missing"), ("{% break %}", "outside"),
    ("x\n{{ messages.sort() }}", "line 2: a list has no"), ("{{ {[]: 2} }}", "a list as a key"),
    ("{{ 'a' % 1 }}", "leaves values over"), ("{{ (-1) ** 0.5 }}", "complex"),
    ("{{ )] }}", "without its opening"),
  ])
  func whatIsNotUnderstoodIsNamed(source: String, words: String) throws {
    let error = #expect(throws: TemplateError.self) {
      try ChatTemplate(source: source).render([])
    }
    #expect("\(try #require(error))".contains(words), "\(String(describing: error))")
  }

  /// Where jinja2's compiler refuses what it does not know, and where it leaves that to rendering.
  @Test(arguments: [
    ("{% if false %}{{ 1|nope }}{{ 1 is nope }}{% endif %}a", "a"),
    ("{% if false %}a{% elif false %}{{ 1|nope }}{% else %}b{% endif %}", "b"),
    ("{{ 'a' if true else 1|nope }}", "a"), ("{{ 'a' if not (false and (1 is nope)) }}", "a"),
    ("{{ false and (1|nope) }}", "False"), ("{{ 1 or (1|nope) }}", "1"),
    ("{{ (1, 2) or (1|nope) }}", "(1, 2)"), ("{{ {{'a': 1}.values(): 1} | length }}", "1"),
    ("{% for x in [] %}{{ 1|nope }}{% endfor %}", nil),
    ("{% if false %}{% for x in [] %}{{ 1|nope }}{% endfor %}{% endif %}", nil),
    ("{% macro f() %}{{ 1|nope }}{% endmacro %}", nil), ("{{ no_one and (1|nope) }}", nil),
    ("{% if false %}{% set x %}{{ 1 is nope }}{% endset %}{% endif %}", nil),
    ("{% for x in [] if x is nope %}{% endfor %}", nil),
    ("{% if false %}{% with a = 1|nope %}{% endwith %}{% endif %}a", "a"),
    ("{{ {'a': 1}.values() in {} }}", "False"), ("{{ {'a': 1}.keys() in {} }}", nil),
  ])
  func unknownNamesAreRefusedAsJinjaDoes(source: String, output: String?) {
    let found = try? Template(source).render([:])
    #expect(found == output)
  }

  /// Each ends, and soon.
  @Test(arguments: [
    "{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}{% endfor %}",
    "{% set ns = namespace(t='x') %}{% for i in range(99) %}{% set ns.t = ns.t ~ ns.t %}{% endfor %}",
    "{% set ns = namespace(t=[]) %}{% for i in range(99) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}"
      + "{{ ns.t }}",
    "{% set ns = namespace(t=[]) %}{% for i in range(9999) %}{% set ns.t = [ns.t] %}{% endfor %}",
    "{% set ns = namespace(t='xxx') %}{% for i in range(99) %}"
      + "{% set ns.t = ns.t | replace('x', ns.t) %}{% endfor %}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", "{{ range(9223372036854775807) }}",
    "{% set ns = namespace(t=[range(99999) | list]) %}{% for i in range(60) %}{% set ns.t = [ns.t] %}"
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
    ("-1", #"[\n1,\n2\n]"#), ("0", #"[\n1,\n2\n]"#), ("2", #"[\n  1,\n  2\n]"#),
    ("'ab'", #"[\nab1,\nab2\n]"#), ("9223372036854775807", ""),
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
    #expect(Self.code("{% if (\(source)) %}") == .limit)
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

  @Test func markupIsPrintedWhole() throws {
    let source = "{{ ('a b ' * 30) | safe | pprint }}"
    let text = String(repeating: "a b ", count: 30)
    #expect(try Template(source).render([:]) == "Markup('\(text)')")
  }

  /// In an `if`, what does not exist fails where it is reached.
  @Test(arguments: ["{{ 1 | nothing }}", "{{ 1 is nothing }}", "{% include 'x' %}"])
  func whatIsNotReachedDoesNotFail(part: String) throws {
    let source = "{% if tools %}\(part){% endif %}a"
    #expect(try ChatTemplate(source: source).render([]) == "a")
  }

  @Test func variablesReachTheTemplate() throws {
    let template = ChatTemplate(
      source: "{{ thinking }}{{ tools is none }}{{ strftime_now('%Y') | length }}")
    #expect(try template.render([], variables: ["thinking": .boolean(true)]) == "TrueTrue4")
    #expect(try template.render([]) == "True4")
  }
}

extension TemplateValue {
  fileprivate subscript(key: String) -> TemplateValue? {
    if case .mapping(let values) = self { values[key] } else { nil }
  }

  fileprivate var text: String? { if case .string(let string) = self { string } else { nil } }
}
