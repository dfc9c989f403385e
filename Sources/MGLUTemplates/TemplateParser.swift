/// Makes statements of a template's tokens. Filters and tests are looked up where they are reached.
struct TemplateParser {
  var tokens: [TemplateToken]
  var index = 0
  /// How deep the current expression may still nest: its evaluation is recursive.
  var room = Self.deepestExpression
  private var depth = 0
  /// The loops around the current statement that it may leave.
  var loops = 0
  /// The loops around the current statement, beyond macros too.
  private var allLoops = 0
  /// How many uses of variables and scopes there are so far.
  private(set) var uses = 0
  private(set) var scopes = 1
  private(set) var blocks: [String: TemplateStatement.Block] = [:]

  static let deepestExpression = 400
  private static let deepestStatement = 50

  /// All statements of the template.
  mutating func statements() throws(TemplateError) -> [TemplateStatement] {
    try body(until: []).statements
  }

  var current: TemplateToken.Kind { tokens[index].kind }
  var line: Int { tokens[index].line }

  init(tokens: [TemplateToken]) { self.tokens = tokens }

  mutating func next() { if index < tokens.count - 1 { index += 1 } }

  /// Statements up to a tag whose first word is one of `ends`, which is taken, or to the end.
  mutating func body(
    until ends: Set<String>
  ) throws(TemplateError) -> (statements: [TemplateStatement], end: String) {
    let first = line
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepestStatement else {
      throw TemplateError(.limit, "blocks are nested too deep", line: line)
    }
    var statements: [TemplateStatement] = []
    while true {
      let line = line
      room = Self.deepestExpression
      switch current {
      case .data(let data):
        next()
        statements.append(.init(kind: .data(data), line: line))
      case .outputStart:
        next()
        statements.append(.init(kind: .output([try sequence()]), line: line))
        try take(.outputEnd, "}}")
      case .tagStart:
        next()
        let word = try name("a tag")
        if ends.contains(word) { return (statements, word) }
        statements.append(.init(kind: try statement(word, line: line), line: line))
        try take(.tagEnd, "%}")
      default:
        guard ends.isEmpty else {
          let names = ends.sorted().joined(separator: " or ")
          throw TemplateError(.syntax, "\(names) is missing for the block here", line: first)
        }
        return (statements, "")
      }
    }
  }

  mutating func use(_ name: String) -> VariableUse {
    uses += 1
    return VariableUse(name: name, id: uses - 1)
  }

  mutating func newScope() -> Int {
    scopes += 1
    return scopes - 1
  }

  private mutating func statement(
    _ word: String, line: Int
  ) throws(TemplateError) -> TemplateStatement.Kind {
    switch word {
    case "if": return try choice()
    case "for": return try loop()
    case "set": return try assignment()
    case "with": return try with()
    case "macro": return try macro()
    case "call": return try call()
    case "generation":
      let (body, special) = try function(until: "endgeneration")
      return .call(.init(name: nil, parameters: [], body: body, special: special), nil)
    case "filter":
      let first = try filterCall()
      let filters = [first] + (try moreFilters())
      let body = try scoped(until: "endfilter")
      return .filter(.init(body: body, filters: filters))
    case "autoescape":
      let condition = try expression()
      return .autoescape(condition, try scoped(until: "endautoescape"))
    case "print":
      var values: [TemplateExpression] = []
      while current != .tagEnd {
        if !values.isEmpty, !takeSymbol(",") { throw expected(",") }
        values.append(try expression())
      }
      return .output(values)
    case "block": return try block()
    case "include", "import", "from", "extends": return try reference(word)
    case "break", "continue":
      guard loops > 0 else { throw TemplateError(.syntax, "\(word) outside of a loop", line: line) }
      return word == "break" ? .leaveLoop : .nextIteration
    default: throw .unknown("{% \(word) %}", line: line)
    }
  }

  /// The statements up to the tag `end`, with a scope of their own.
  mutating func scoped(until end: String) throws(TemplateError) -> TemplateStatement.Body {
    try endTag()
    let scope = newScope()
    return .init(statements: try body(until: [end]).statements, scope: scope)
  }

  /// The statements of a function, which no loop around it can be left from.
  mutating func function(
    until end: String
  ) throws(TemplateError) -> (
    TemplateStatement.Body, (caller: VariableUse, named: VariableUse, extra: VariableUse)
  ) {
    let outer = loops
    loops = 0
    defer { loops = outer }
    return (try scoped(until: end), (use("caller"), use("kwargs"), use("varargs")))
  }

  private mutating func choice() throws(TemplateError) -> TemplateStatement.Kind {
    var branches: [TemplateStatement.Branch] = []
    while true {
      let condition = try sequence(choices: false)
      try endTag()
      let (statements, end) = try body(until: ["elif", "else", "endif"])
      branches.append(.init(condition: condition, body: statements))
      if end == "elif" { continue }
      guard end == "else" else { return .choice(branches, otherwise: []) }
      try endTag()
      return .choice(branches, otherwise: try body(until: ["endif"]).statements)
    }
  }

  private mutating func loop() throws(TemplateError) -> TemplateStatement.Kind {
    allLoops += 1
    defer { allLoops -= 1 }
    let target = try target(end: "in")
    guard takeName("in") else { throw expected("in") }
    let elements = try sequence(choices: false, end: "recursive")
    let condition = takeName("if") ? try expression() : nil
    let isRecursive = takeName("recursive")
    try endTag()
    let outer = loops
    defer { loops = outer }
    loops = isRecursive ? 1 : outer + 1
    let (scope, state) = (newScope(), use("loop"))
    let (statements, end) = try body(until: ["else", "endfor"])
    loops = isRecursive ? 0 : outer
    var otherwise: TemplateStatement.Body?
    if end == "else" { otherwise = try scoped(until: "endfor") }
    return .loop(
      .init(
        target: target, elements: elements, condition: condition,
        conditionTarget: copy(target), conditionScope: newScope(),
        body: .init(statements: statements, scope: scope), state: state, otherwise: otherwise,
        isRecursive: isRecursive))
  }

  private mutating func assignment() throws(TemplateError) -> TemplateStatement.Kind {
    let target = try target(members: true)
    if takeSymbol("=") { return .assignment(target, try sequence()) }
    let filters = try moreFilters()
    return .capture(target, .init(body: try scoped(until: "endset"), filters: filters))
  }

  private mutating func with() throws(TemplateError) -> TemplateStatement.Kind {
    var variables: [(target: TemplateTarget, value: TemplateExpression)] = []
    while current != .tagEnd {
      if !variables.isEmpty, !takeSymbol(",") { throw expected(",") }
      let target = try target()
      guard takeSymbol("=") else { throw expected("=") }
      variables.append((target, try expression()))
    }
    return .with(variables, try scoped(until: "endwith"))
  }

  private mutating func macro() throws(TemplateError) -> TemplateStatement.Kind {
    let name = try name("a macro's name")
    let parameters = try parameters()
    let (body, special) = try function(until: "endmacro")
    return .macro(
      .init(name: name, parameters: parameters, body: body, special: special), use(name))
  }

  private mutating func call() throws(TemplateError) -> TemplateStatement.Kind {
    let parameters = current == .symbol("(") ? try parameters() : []
    let line = line
    let call = try expression()
    guard case .call = call else {
      throw TemplateError(.syntax, "{% call %} without a call", line: line)
    }
    let (body, special) = try function(until: "endcall")
    return .call(.init(name: nil, parameters: parameters, body: body, special: special), call)
  }

  private mutating func parameters() throws(TemplateError) -> [(
    name: String, variable: VariableUse, standard: TemplateExpression?
  )] {
    var parameters: [(name: String, variable: VariableUse, standard: TemplateExpression?)] = []
    guard takeSymbol("(") else { throw expected("(") }
    while !takeSymbol(")") {
      if !parameters.isEmpty, !takeSymbol(",") { throw expected(",") }
      let name = try name("a parameter")
      let standard = takeSymbol("=") ? try expression() : nil
      guard standard != nil || parameters.last?.standard == nil else { throw expected("=") }
      guard !parameters.contains(where: { $0.name == name }) else {
        throw TemplateError(.syntax, "two parameters \(name)", line: line)
      }
      parameters.append((name, use(name), standard))
    }
    return parameters
  }

  private mutating func block() throws(TemplateError) -> TemplateStatement.Kind {
    let line = line
    let name = try name("a block's name")
    let isScoped = takeName("scoped")
    let isRequired = takeName("required")
    guard blocks[name] == nil else {
      throw TemplateError(.syntax, "two blocks \(name)", line: line)
    }
    let outer = loops
    loops = 0
    defer { loops = outer }
    let body = try scoped(until: "endblock")
    _ = takeName(name)
    let block = TemplateStatement.Block(
      name: name, body: body, isScoped: isScoped, isRequired: isRequired)
    blocks[name] = block
    return .block(block)
  }

  /// A statement that names another template, up to the end of its tag.
  private mutating func reference(_ word: String) throws(TemplateError) -> TemplateStatement.Kind {
    _ = try expression()
    var targets: [TemplateTarget] = []
    while current != .tagEnd {
      if word == "import", takeName("as") || word == "from" && takeName("import") {
        targets.append(.variable(use(try name("a name"))))
      } else if word == "from", case .name(let name) = current {
        next()
        targets.append(.variable(use(name)))
      } else if word == "from", takeSymbol(",") {
      } else if word != "from", case .name = current {
        next()
      } else {
        throw expected("%}")
      }
    }
    return .unavailable(word, targets)
  }

  /// What a value is given to: a name, the member of a namespace if `members`, or several of these.
  private mutating func target(
    members: Bool = false, end: String? = nil
  ) throws(TemplateError) -> TemplateTarget {
    let first = try targetPart(members: members)
    guard current == .symbol(",") else { return first }
    var parts = [first]
    while takeSymbol(",") {
      if let end, current == .name(end) { break }
      if [.tagEnd, .symbol("="), .symbol(")")].contains(current) { break }
      parts.append(try targetPart(members: members))
    }
    return .parts(parts)
  }

  private mutating func targetPart(members: Bool) throws(TemplateError) -> TemplateTarget {
    if takeSymbol("(") {
      let inner = try target(members: members)
      guard takeSymbol(")") else { throw expected(")") }
      return inner
    }
    let name = try name("a name")
    if members, takeSymbol(".") { return .member(use(name), try self.name("a member")) }
    guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
      throw TemplateError(.syntax, "\(name) is set", line: line)
    }
    guard name != "loop" || allLoops == 0 else {
      throw TemplateError(.syntax, "loop is set in a loop", line: line)
    }
    return .variable(use(name))
  }

  /// The target with uses of its own.
  private mutating func copy(_ target: TemplateTarget) -> TemplateTarget {
    switch target {
    case .variable(let variable): return .variable(use(variable.name))
    case .member(let variable, let member): return .member(use(variable.name), member)
    case .parts(let parts):
      var copies: [TemplateTarget] = []
      for part in parts { copies.append(copy(part)) }
      return .parts(copies)
    }
  }

  mutating func endTag() throws(TemplateError) { try take(.tagEnd, "%}") }

  mutating func take(
    _ kind: TemplateToken.Kind, _ spelling: String
  ) throws(TemplateError) {
    guard current == kind else { throw expected(spelling) }
    next()
  }

  mutating func takeSymbol(_ symbol: String) -> Bool {
    guard current == .symbol(symbol) else { return false }
    next()
    return true
  }

  mutating func takeName(_ name: String) -> Bool {
    guard current == .name(name) else { return false }
    next()
    return true
  }

  mutating func name(_ what: String) throws(TemplateError) -> String {
    guard case .name(let name) = current else { throw expected(what) }
    next()
    return name
  }

  /// An error at the current token.
  func expected(_ what: String) -> TemplateError {
    let found =
      switch current {
      case .data, .end: "the end"
      case .outputStart: "{{"
      case .outputEnd: "}}"
      case .tagStart: "{%"
      case .tagEnd: "%}"
      case .name(let name): name
      case .string(let string): "\"\(string)\""
      case .integer(let value): "\(value)"
      case .real(let value): "\(value)"
      case .symbol(let symbol): symbol
      }
    return TemplateError(.syntax, "\(found): expected \(what)", line: line)
  }
}
