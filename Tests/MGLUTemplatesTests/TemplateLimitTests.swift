import MGLUTemplates
import Testing

/// A few bytes of template ask for much; each ends in an error that says so, and takes little.
@Suite struct TemplateLimitTests {
  private static func code(_ source: String) -> TemplateProblem? {
    do throws(TemplateError) { _ = try Template(source).render([:]) } catch { return error.code }
    return nil
  }

  private static let doubled =
    "{% set ns = namespace(s='a') %}{% for i in range(25) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"

  @Test(arguments: [
    "ns.s | join('') | length", "ns.s | list | length", "ns.s.split('a') | length",
    "ns.s ~ 'b'", "ns.s | replace('', 'aaaa')", "ns.s | map('upper') | list",
  ])
  func memoryIsBounded(expression: String) {
    #expect(Self.code(Self.doubled + "{{ \(expression) }}") == .limit)
  }

  @Test func variablesTogetherAreBounded() {
    let sets = (0..<9).map { "{% set x\($0) = ns.s[1:] ~ '\($0)' %}" }.joined()
    #expect(Self.code(Self.doubled + sets) == .limit)
  }

  @Test(arguments: [
    "'x' * 10 ** 9", "'x' * 10 ** 30", "'a' | center(10 ** 9)", "'a'.zfill(10 ** 9)",
    "'%1000000000s' % 'a'", "'%*s' % (10 ** 9, 'a')", "lipsum(10 ** 9)", "range(10 ** 9)",
    "[1] | batch(10 ** 9, 'x') | list", "2 ** (10 ** 9)", "'a\\t'.expandtabs(10 ** 9)",
  ])
  func sizesAreBounded(expression: String) {
    #expect(Self.code("{{ \(expression) }}") != nil)
  }

  @Test(arguments: [
    "{% set ns = namespace(g=[1]) %}{% for i in range(9999) %}{% set ns.g = ns.g | map('string') %}"
      + "{% endfor %}{{ ns.g | list }}",
    "{% set ns = namespace(g=[1]) %}{% for i in range(9999) %}{% set ns.g = namespace(a=ns.g) %}"
      + "{% endfor %}{{ ns.g }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% set ns = namespace(t=(1,)) %}{% for i in range(60) %}{% set ns.t = (ns.t, ns.t) %}{% endfor %}"
      + "{{ {ns.t: 1} }}",
    "{% set ns = namespace(t=(1,), u=(1,)) %}{% for i in range(60) %}{% set ns.t = (ns.t, ns.t) %}"
      + "{% set ns.u = (ns.u, ns.u) %}{% endfor %}{{ ns.t == ns.u }}",
    "{% set ns = namespace(i=3) %}{% for i in range(99) %}{% set ns.i = ns.i * ns.i %}{% endfor %}",
  ])
  func depthIsBounded(source: String) {
    #expect(Self.code(source) == .limit)
  }

  @Test func manyBranchesAreBounded() {
    let source = (0..<20_000).map { "{% if a %}{% set x\($0) = 1 %}{% endif %}" }.joined()
    #expect(Self.code(source) == .limit)
  }

  /// What used to end the process.
  @Test(arguments: ["namespace().a", "loop", "caller", "dict().a"])
  func missingMembersAreNoTrap(expression: String) throws {
    #expect(try Template("{{ (\(expression)) is defined }}").render([:]) == "False")
  }

  @Test func namespacesMayHoldThemselves() throws {
    let source = "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}"
    #expect(try Template(source).render([:]) == "<Namespace {'a': <Namespace {...}>}>")
  }
}
