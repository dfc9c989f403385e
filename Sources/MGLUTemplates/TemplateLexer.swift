/// A part of a template's source.
struct TemplateToken {
  enum Kind: Equatable {
    /// The source between tags, which the rendering copies.
    case data(String)
    case outputStart
    case outputEnd
    case tagStart
    case tagEnd
    case name(String)
    case string(String)
    case integer(Int)
    case real(Double)
    case symbol(String)
    case end
  }

  let kind: Kind
  let line: Int
}

/// Cuts a template's source into tokens. The lexer drops white space around tags as Jinja does with
/// `trim_blocks` and `lstrip_blocks`, the settings of transformers.
struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var position = 0
  private var line = 1
  private var tokens: [TemplateToken] = []

  /// The tokens of `source`, an `end` after them.
  static func tokens(_ source: String) throws(TemplateError) -> [TemplateToken] {
    var lexer = TemplateLexer(source)
    try lexer.run()
    return lexer.tokens
  }

  private init(_ source: String) {
    var scalars: [Unicode.Scalar] = []
    for scalar in source.unicodeScalars {
      if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
      if scalars.last == "\r" { scalars[scalars.count - 1] = "\n" }
      scalars.append(scalar)
    }
    if scalars.last == "\r" { scalars[scalars.count - 1] = "\n" }
    // The last line may end or not: it is the same template.
    if scalars.last == "\n" { scalars.removeLast() }
    self.source = scalars
  }

  private mutating func run() throws(TemplateError) {
    while position < source.count {
      let start = position
      let isLineStart = start == 0 || source[start - 1] == "\n"
      while position < source.count, !isOpening(position) { advance() }
      var data = source[start..<position]
      let firstLine = line - data.count(where: { $0 == "\n" })
      guard position < source.count else {
        append(data, line: firstLine)
        break
      }
      let kind = source[position + 1]
      let sign = scalar(position + 2)
      if sign == "-" {
        while data.last?.isBlank == true { data.removeLast() }
      } else if sign != "+", kind != "{" {
        let indent = data.reversed().prefix { $0 != "\n" && $0.isBlank }.count
        let before = data.dropLast(indent)
        if before.last == "\n" || before.isEmpty && isLineStart { data = before }
      }
      append(data, line: firstLine)
      advance(sign == "-" || sign == "+" ? 3 : 2)
      switch kind {
      case "#": try skipComment()
      case "{": try lexTag(.outputStart, .outputEnd, close: "}")
      default: try lexTag(.tagStart, .tagEnd, close: "%")
      }
    }
    tokens.append(.init(kind: .end, line: line))
  }

  private func isOpening(_ index: Int) -> Bool {
    source[index] == "{" && ["{", "%", "#"].contains(scalar(index + 1))
  }

  private func scalar(_ index: Int) -> Unicode.Scalar? {
    index < source.count ? source[index] : nil
  }

  private mutating func advance(_ count: Int = 1) {
    for _ in 0..<count where position < source.count {
      if source[position] == "\n" { line += 1 }
      position += 1
    }
  }

  private mutating func append(_ data: ArraySlice<Unicode.Scalar>, line: Int) {
    if !data.isEmpty { tokens.append(.init(kind: .data(Self.string(data)), line: line)) }
  }

  private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var string = String.UnicodeScalarView()
    string.append(contentsOf: scalars)
    return String(string)
  }

  private mutating func skipBlanks() {
    while let next = scalar(position), next.isBlank { advance() }
  }

  private mutating func skipComment() throws(TemplateError) {
    let first = line
    while position < source.count, source[position] != "#" || scalar(position + 1) != "}" {
      advance()
    }
    guard position < source.count else {
      throw TemplateError(.syntax, "a comment does not end", line: first)
    }
    let sign = source[position - 1]
    advance(2)
    skip(after: sign, newline: true)
  }

  /// Skips the blanks that a closing tag removes: all of them after `-`, none after `+`, else a line's
  /// end.
  private mutating func skip(after sign: Unicode.Scalar?, newline: Bool) {
    if sign == "-" { skipBlanks() }
    if sign != "-", sign != "+", newline, scalar(position) == "\n" { advance() }
  }

  private mutating func lexTag(
    _ start: TemplateToken.Kind, _ end: TemplateToken.Kind, close: Unicode.Scalar
  ) throws(TemplateError) {
    let first = line
    tokens.append(.init(kind: start, line: line))
    var open = 0
    while true {
      skipBlanks()
      guard let next = scalar(position) else {
        throw TemplateError(.syntax, "a tag does not end", line: first)
      }
      if open == 0 {
        let hasSign = next == "-" || next == "+" && close == "%"
        let place = hasSign ? position + 1 : position
        if scalar(place) == close, scalar(place + 1) == "}" {
          tokens.append(.init(kind: end, line: line))
          advance(hasSign ? 3 : 2)
          return skip(after: hasSign ? next : nil, newline: close == "%")
        }
      }
      let line = line
      let kind = try lexPart(next)
      if case .symbol(let symbol) = kind {
        if ["(", "[", "{"].contains(symbol) { open += 1 }
        if [")", "]", "}"].contains(symbol) { open -= 1 }
      }
      tokens.append(.init(kind: kind, line: line))
    }
  }

  private mutating func lexPart(_ next: Unicode.Scalar) throws(TemplateError) -> TemplateToken.Kind
  {
    if next == "'" || next == "\"" { return .string(try lexString(next)) }
    if next.isDigit { return try lexNumber() }
    if next.isWord {
      let start = position
      while let next = scalar(position), next.isWord { advance() }
      return .name(Self.string(source[start..<position]))
    }
    for length in [2, 1] {
      let symbol = Self.string(source[position..<min(position + length, source.count)])
      if Self.symbols.contains(symbol) {
        advance(length)
        return .symbol(symbol)
      }
    }
    throw TemplateError(.syntax, "\(String(next)) in a tag", line: line)
  }

  private static let symbols: Set = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",",
  ]

  private mutating func lexNumber() throws(TemplateError) -> TemplateToken.Kind {
    let start = position
    func digits(_ lexer: inout Self) {
      while let next = lexer.scalar(lexer.position), next.isDigit || next == "_" {
        lexer.advance()
      }
    }
    digits(&self)
    var isReal = false
    if scalar(position) == ".", scalar(position + 1)?.isDigit == true {
      isReal = true
      advance()
      digits(&self)
    }
    if let next = scalar(position), next == "e" || next == "E" {
      let sign = scalar(position + 1)
      let length = sign == "+" || sign == "-" ? 2 : 1
      if scalar(position + length)?.isDigit == true {
        isReal = true
        advance(length)
        digits(&self)
      }
    }
    let number = Self.string(source[start..<position].filter { $0 != "_" })
    if isReal, let value = Double(number) { return .real(value) }
    if !isReal, let value = Int(number) { return .integer(value) }
    throw TemplateError(.syntax, "\(number) is not a number", line: line)
  }

  private mutating func lexString(_ quote: Unicode.Scalar) throws(TemplateError) -> String {
    let first = line
    var result: [Unicode.Scalar] = []
    advance()
    while let next = scalar(position) {
      advance()
      if next == quote { return Self.string(result) }
      guard next == "\\", let escaped = scalar(position) else {
        result.append(next)
        continue
      }
      advance()
      switch escaped {
      case "n": result.append("\n")
      case "t": result.append("\t")
      case "r": result.append("\r")
      case "\n": break
      case "\\", "'", "\"": result.append(escaped)
      case "x", "u":
        let digits = Self.string(source[position...].prefix(escaped == "x" ? 2 : 4))
        guard let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) else {
          throw TemplateError(.syntax, "\\\(escaped)\(digits) is not a character", line: line)
        }
        advance(digits.count)
        result.append(scalar)
      default: result += ["\\", escaped]
      }
    }
    throw TemplateError(.syntax, "a string does not end", line: first)
  }
}

extension Unicode.Scalar {
  /// White space, as Python sees it.
  var isBlank: Bool { properties.isWhitespace || (0x1c...0x1f).contains(value) }
  fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
  fileprivate var isWord: Bool { self == "_" || isDigit || properties.isAlphabetic }
}
