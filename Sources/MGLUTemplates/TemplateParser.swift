/// Makes statements of a template's tokens. The parser refuses every construct that this library
/// lacks, as far as it shows without values.
struct TemplateParser {
  var tokens: [TemplateToken]
  var index = 0
  /// How deep the current expression may still nest: its evaluation is recursive.
  var room = Self.deepestExpression
  private var depth = 0
  private var loops = 0

  static let deepestExpression = 400
  private static let deepestStatement = 50

  /// The statements of `source`.
  static func statements(_ source: String) throws(TemplateError) -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(source))
    return try parser.body(until: []).statements
  }

  var current: TemplateToken.Kind { tokens[index].kind }
  var line: Int { tokens[index].line }

  init(tokens: [TemplateToken]) { self.tokens = tokens }

  mutating func next() { if index < tokens.count - 1 { index += 1 } }

  /// Statements up to a tag whose first word is one of `ends`, which is taken, or to the end.
  private mutating func body(
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
        statements.append(.init(kind: .output(try sequence()), line: line))
        try take(.outputEnd, "}}")
      case .tagStart:
        next()
        let word = try name("a tag")
        if ends.contains(word) { return (statements, word) }
        statements.append(.init(kind: try statement(word, line: line), line: line))
      default:
        guard ends.isEmpty else {
          let names = ends.sorted().joined(separator: " or ")
          throw TemplateError(.syntax, "\(names) is missing for the block here", line: first)
        }
        return (statements, "")
      }
    }
  }

  private mutating func statement(
    _ word: String, line: Int
  ) throws(TemplateError) -> TemplateStatement.Kind {
    switch word {
    case "if": return try choice()
    case "for": return try loop()
    case "set": return try assignment()
    case "macro": return try macro()
    case "generation":
      try endTag()
      let body = try body(until: ["endgeneration"]).statements
      try endTag()
      return .group(body)
    case "break", "continue":
      guard loops > 0 else { throw TemplateError(.syntax, "\(word) outside of a loop", line: line) }
      try endTag()
      return word == "break" ? .leaveLoop : .nextIteration
    default:
      throw .unknown("{% \(word) %}", line: line)
    }
  }

  private mutating func choice() throws(TemplateError) -> TemplateStatement.Kind {
    var branches: [TemplateStatement.Branch] = []
    while true {
      let condition = try expression()
      try endTag()
      let (statements, end) = try body(until: ["elif", "else", "endif"])
      branches.append(.init(condition: condition, body: statements))
      if end == "elif" { continue }
      try endTag()
      guard end == "else" else { return .choice(branches, otherwise: []) }
      let otherwise = try body(until: ["endif"]).statements
      try endTag()
      return .choice(branches, otherwise: otherwise)
    }
  }

  private mutating func loop() throws(TemplateError) -> TemplateStatement.Kind {
    let names = try targets()
    guard takeName("in") else { throw expected("in") }
    let elements = try either()
    let condition = takeName("if") ? try expression() : nil
    if current == .name("recursive") { throw .unknown("a recursive loop", line: line) }
    try endTag()
    loops += 1
    let (statements, end) = try body(until: ["else", "endfor"])
    loops -= 1
    try endTag()
    var otherwise: [TemplateStatement] = []
    if end == "else" {
      otherwise = try body(until: ["endfor"]).statements
      try endTag()
    }
    return .loop(
      .init(
        names: names, elements: elements, condition: condition, body: statements,
        otherwise: otherwise))
  }

  private mutating func assignment() throws(TemplateError) -> TemplateStatement.Kind {
    let names = try targets()
    if names.count == 1, takeSymbol(".") {
      let member = try name("a member")
      guard takeSymbol("=") else { throw expected("=") }
      let value = try sequence()
      try endTag()
      return .memberAssignment(names[0], member, value)
    }
    if takeSymbol("=") {
      let value = try sequence()
      try endTag()
      return .assignment(names, value)
    }
    guard names.count == 1 else { throw expected("=") }
    try endTag()
    let statements = try body(until: ["endset"]).statements
    try endTag()
    return .capture(names[0], statements)
  }

  private mutating func macro() throws(TemplateError) -> TemplateStatement.Kind {
    let macroName = try name("a macro's name")
    var parameters: [(name: String, standard: TemplateExpression?)] = []
    guard takeSymbol("(") else { throw expected("(") }
    while !takeSymbol(")") {
      if !parameters.isEmpty, !takeSymbol(",") { throw expected(",") }
      let parameter = try name("a parameter")
      parameters.append((parameter, takeSymbol("=") ? try expression() : nil))
    }
    try endTag()
    let outer = loops
    loops = 0
    let statements = try body(until: ["endmacro"]).statements
    loops = outer
    try endTag()
    return .macro(.init(name: macroName, parameters: parameters, body: statements))
  }

  /// One name, or several with commas between.
  private mutating func targets() throws(TemplateError) -> [String] {
    let isBracketed = takeSymbol("(")
    var names: [String] = []
    repeat { names.append(try name("a name")) } while takeSymbol(",")
    if isBracketed, !takeSymbol(")") { throw expected(")") }
    return names
  }

  private mutating func endTag() throws(TemplateError) { try take(.tagEnd, "%}") }

  private mutating func take(
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
