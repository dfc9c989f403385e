/// Renders the templates of standard input, for comparisons with jinja2: each line is a JSON object with
/// `template` and `variables`, and has a line of JSON with `output`, or with `error` and `message`.

import MGLUTemplates

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

let writer = try Template("{{ result | tojson }}")

func answer(_ line: String) -> TemplateValue {
  do throws(TemplateError) {
    guard case .mapping(let values) = try TemplateValue(json: line.utf8),
      case .string(let source)? = values["template"],
      case .mapping(let variables)? = values["variables"]
    else { return .mapping(["error": .string("line"), "message": .string(line)]) }
    let named = Dictionary(uniqueKeysWithValues: variables.map { ($0.key, $0.value) })
    return .mapping(["output": .string(try Template(source).render(named))])
  } catch {
    return .mapping(["error": .string("\(error.code)"), "message": .string(error.message)])
  }
}

while let line = readLine() {
  print(try writer.render(["result": answer(line)]))
  fflush(nil)
}
