/// A template that a parser mostly takes.
struct GeneratedTemplate {
  private var choices: ByteChoices

  init(_ choices: ByteChoices) { self.choices = choices }

  mutating func source() -> String {
    let prefix =
      "{%- set ns = namespace(c=1, t='t') %}{% macro f(a, b=2) %}{{ a ~ b }}{% endmacro %}"
    var source = choices.isOne(of: 4) ? "" : prefix
    for _ in 0...choices.number(below: 4) { source += statement(0) }
    return source
  }

  private static let names = [
    "messages", "messages[0]", "m", "m.role", "m.content", "n", "big", "r", "x", "z", "d", "d.b",
    "ns",
    "ns.c", "f", "loop", "loop.index", "loop.last", "undefined_name", "bos_token", "true", "none",
    "add_generation_prompt", "range", "dict", "namespace", "joiner", "cycler", "caller", "varargs",
    "loop.cycle", "loop.changed", "self", "raise_exception", "strftime_now", "lipsum",
  ]
  private static let literals = [
    "0", "1", "-1", "2", "7", "9223372036854775807", "99999999999999999999999", "0.5", "1e300",
    "1e-300",
    "1_000", "''", "'a'", "'ab c'", "'\\n'", "'é'", "'e\u{301}'", "'%s|%d'", "'{}{0!r:>5}'", "'12'",
    "[]",
    "{}", "()", "(1,)", "[1, [2, 'a']]", "{'a': 1, 'b': [none]}", "[3, 1, 2]", "['b', 'A']",
    "'<i>&'",
  ]
  private static let filters = [
    "abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e",
    "escape",
    "filesizeformat", "first", "float", "forceescape", "format", "groupby", "indent", "int",
    "items",
    "join", "last", "length", "list", "lower", "map", "max", "min", "pprint", "random", "reject",
    "rejectattr", "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort",
    "string",
    "striptags", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode",
    "urlize",
    "wordcount", "wordwrap", "xmlattr", "no_such_filter",
  ]
  private static let tests = [
    "boolean", "callable", "defined", "divisibleby", "eq", "escaped", "even", "false", "filter",
    "float",
    "ge", "gt", "in", "integer", "iterable", "le", "lower", "lt", "mapping", "ne", "none", "number",
    "odd",
    "sameas", "sequence", "string", "test", "true", "undefined", "upper", "no_such_test",
  ]
  private static let methods = [
    "append", "capitalize", "casefold", "center", "clear", "copy", "count", "encode", "endswith",
    "expandtabs", "extend", "find", "format", "format_map", "fromkeys", "get", "index", "insert",
    "isalnum", "isalpha", "isdigit", "islower", "isspace", "istitle", "isupper", "items", "join",
    "keys",
    "ljust", "lower", "lstrip", "partition", "pop", "removeprefix", "removesuffix", "replace",
    "reverse",
    "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "setdefault", "sort", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "update", "upper", "values", "zfill",
    "bit_length", "is_integer", "as_integer_ratio", "hex", "next", "__class__", "no_such_method",
  ]
  private static let operators = [
    "+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in",
    "not in",
  ]
  private static let keywords = [
    "attribute=", "case_sensitive=", "reverse=", "default=", "indent=", "width=", "first=", "a=",
    "start=",
  ]

  private mutating func arguments(_ depth: Int) -> String {
    choices.list(upTo: 3) { _ in 0 }.map { _ in
      (choices.isOne(of: 4) ? choices.pick(Self.keywords) : "") + expression(depth + 1)
    }.joined(separator: ", ")
  }

  private mutating func expression(_ depth: Int) -> String {
    let kind = choices.number(below: depth > 4 ? 2 : 14)
    switch kind {
    case 0: return choices.pick(Self.names)
    case 1: return choices.pick(Self.literals)
    case 2, 3: return "(\(expression(depth + 1)) | \(choices.pick(Self.filters)))"
    case 4: return "(\(expression(depth + 1)) | \(choices.pick(Self.filters))(\(arguments(depth))))"
    case 5:
      let negation = choices.isOne(of: 3) ? "not " : ""
      return "(\(expression(depth + 1)) is \(negation)\(choices.pick(Self.tests)))"
    case 6: return "(\(expression(depth + 1)) is \(choices.pick(Self.tests))(\(arguments(depth))))"
    case 7: return "(\(expression(depth + 1))).\(choices.pick(Self.methods))(\(arguments(depth)))"
    case 8: return "(\(expression(depth + 1))).\(choices.pick(Self.methods))"
    case 9, 10:
      let left = expression(depth + 1)
      return "(\(left) \(choices.pick(Self.operators)) \(expression(depth + 1)))"
    case 11:
      let value = expression(depth + 1)
      let bounds = choices.list(upTo: 3) { $0.isOne(of: 3) ? "" : $0.pick(Self.literals) }
      return "(\(value))[\(bounds.joined(separator: ":"))]"
    case 12:
      let value = expression(depth + 1)
      let condition = expression(depth + 1)
      return
        "(\(value) if \(condition)\(choices.isOne(of: 2) ? " else " + expression(depth + 1) : ""))"
    default:
      return choices.isOne(of: 2)
        ? "[\(expression(depth + 1)), \(expression(depth + 1))]"
        : "{\(expression(depth + 1)): \(expression(depth + 1))}"
    }
  }

  private mutating func tag(_ text: String) -> String {
    "{%\(choices.pick(["", "-", "+"])) \(text) \(choices.pick(["", "-"]))%}"
  }

  private mutating func body(_ depth: Int) -> String {
    var body = statement(depth + 1)
    if choices.isOne(of: 2) { body += statement(depth + 1) }
    return body
  }

  private mutating func statement(_ depth: Int) -> String {
    let output = "{{ \(expression(0)) }}"
    guard depth < 4 else { return output }
    switch choices.number(below: 15) {
    case 0, 1, 2: return output + choices.pick(["", " ", "\n", "  \n", "text"])
    case 3, 4:
      var result = tag("if \(expression(1))") + body(depth)
      if choices.isOne(of: 3) { result += tag("elif \(expression(1))") + body(depth) }
      if choices.isOne(of: 2) { result += tag("else") + body(depth) }
      return result + tag("endif")
    case 5, 6, 7:
      let names = choices.pick(["m", "m", "a, b", "x"])
      let condition = choices.isOne(of: 4) ? " if \(expression(2))" : ""
      let recursion = choices.isOne(of: 8) ? " recursive" : ""
      var result = tag("for \(names) in \(expression(1))\(condition)\(recursion)") + body(depth)
      if choices.isOne(of: 4) { result += tag(choices.pick(["break", "continue"])) }
      if choices.isOne(of: 5) { result += "{{ loop(\(expression(2))) }}" }
      if choices.isOne(of: 5) { result += tag("else") + body(depth) }
      return result + tag("endfor")
    case 8: return tag("set \(choices.pick(["m", "x", "ns.c", "ns.q", "a, b"])) = \(expression(1))")
    case 9:
      return tag("set x\(choices.isOne(of: 3) ? " | upper" : "")") + body(depth) + tag("endset")
    case 10:
      let name = choices.pick(["f", "g"])
      return tag("macro \(name)(a, b=\(expression(2)))") + body(depth) + tag("endmacro")
    case 11: return tag("call(c) f(\(arguments(2)))") + body(depth) + tag("endcall")
    case 12: return tag("filter \(choices.pick(Self.filters))") + body(depth) + tag("endfilter")
    case 13: return tag("with a = \(expression(1))") + body(depth) + tag("endwith")
    default: return tag("generation") + body(depth) + tag("endgeneration") + "{# comment #}"
    }
  }
}
