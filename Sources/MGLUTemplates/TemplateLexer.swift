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
    case integer(BigInteger)
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
      while position < source.count, !isOpening(position) { advance() }
      var data = source[start..<position]
      let firstLine = line - data.count(where: { $0 == "\n" })
      guard position < source.count else {
        append(data, line: firstLine)
        break
      }
      let kind = source[position + 1]
      let sign = scalar(position + 2)
      data = stripped(data, before: sign, isOutput: kind == "{")
      append(data, line: firstLine)
      advance(sign == "-" || sign == "+" ? 3 : 2)
      switch kind {
      case "%" where try lexRaw(): break
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
    let (first, start) = (line, position)
    while position < source.count, source[position] != "#" || scalar(position + 1) != "}" {
      advance()
    }
    guard position < source.count else {
      throw TemplateError(.syntax, "a comment does not end", line: first)
    }
    let sign = position > start ? source[position - 1] : nil
    advance(2)
    skip(after: sign, newline: true)
  }

  /// Skips the blanks that a closing tag removes: all of them after `-`, none after `+`, else a line's
  /// end.
  private mutating func skip(after sign: Unicode.Scalar?, newline: Bool) {
    if sign == "-" { skipBlanks() }
    if sign != "-", sign != "+", newline, scalar(position) == "\n" { advance() }
  }

  /// The data of a `raw` block, if the tag that begins is one.
  private mutating func lexRaw() throws(TemplateError) -> Bool {
    var start = position
    func skip(_ place: inout Int, _ word: String) -> Bool {
      while let next = scalar(place), next.isBlank { place += 1 }
      guard source[place...].starts(with: word.unicodeScalars) else { return false }
      place += word.unicodeScalars.count
      while let next = scalar(place), next.isBlank { place += 1 }
      return true
    }
    guard skip(&start, "raw") else { return false }
    let isStripped = scalar(start) == "-"
    if isStripped { start += 1 }
    guard scalar(start) == "%", scalar(start + 1) == "}" else { return false }
    let first = line
    advance(start + 2 - position)
    if isStripped { skipBlanks() }
    let dataStart = position
    while position < source.count {
      if source[position] == "{", scalar(position + 1) == "%" {
        let sign = scalar(position + 2)
        var end = position + (sign == "-" || sign == "+" ? 3 : 2)
        if skip(&end, "endraw") {
          let closing = scalar(end)
          if closing == "-" || closing == "+" { end += 1 }
          if scalar(end) == "%", scalar(end + 1) == "}" {
            let data = stripped(source[dataStart..<position], before: sign, isOutput: false)
            append(data, line: first)
            advance(end + 2 - position)
            self.skip(after: closing, newline: true)
            return true
          }
        }
      }
      advance()
    }
    throw TemplateError(.syntax, "a raw block does not end", line: first)
  }

  /// The data before a tag, without the blanks that the tag removes.
  private func stripped(
    _ data: ArraySlice<Unicode.Scalar>, before sign: Unicode.Scalar?, isOutput: Bool
  ) -> ArraySlice<Unicode.Scalar> {
    var data = data
    if sign == "-" {
      while data.last?.isBlank == true { data.removeLast() }
    } else if sign != "+", !isOutput {
      let indent = data.reversed().prefix { $0 != "\n" && $0.isBlank }.count
      let before = data.dropLast(indent)
      let isLineStart = data.startIndex == 0 || source[data.startIndex - 1] == "\n"
      if before.last == "\n" || before.isEmpty && isLineStart { data = before }
    }
    return data
  }

  private mutating func lexTag(
    _ start: TemplateToken.Kind, _ end: TemplateToken.Kind, close: Unicode.Scalar
  ) throws(TemplateError) {
    let first = line
    tokens.append(.init(kind: start, line: line))
    var open: [String] = []
    while true {
      skipBlanks()
      guard let next = scalar(position) else {
        throw TemplateError(.syntax, "a tag does not end", line: first)
      }
      if open.isEmpty {
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
        if let closing = ["(": ")", "[": "]", "{": "}"][symbol] { open.append(closing) }
        if [")", "]", "}"].contains(symbol), open.popLast() != symbol {
          throw TemplateError(.syntax, "\(symbol) without its opening bracket", line: line)
        }
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
    ">", "<", "=", ".", ":", "|", ",", ";",
  ]

  private mutating func lexNumber() throws(TemplateError) -> TemplateToken.Kind {
    let start = position
    if scalar(position) == "0", let radix = Self.radices[scalar(position + 1) ?? " "] {
      advance(2)
      let digits = takeDigits(radix: radix)
      if let value = BigInteger(digits, radix: radix) { return .integer(value) }
      throw TemplateError(.syntax, "0 before a letter is not a number", line: line)
    }
    var number = takeDigits(radix: 10)
    var isReal = false
    // `a.0.1` has two subscripts and no fraction.
    let isSubscript = start > 0 && source[start - 1] == "."
    if !isSubscript, scalar(position) == ".", scalar(position + 1)?.isDigit == true {
      isReal = true
      advance()
      number += "." + takeDigits(radix: 10)
    }
    if !isSubscript, let next = scalar(position), next == "e" || next == "E" {
      let sign = scalar(position + 1)
      let length = sign == "+" || sign == "-" ? 2 : 1
      if scalar(position + length)?.isDigit == true {
        isReal = true
        advance(length)
        number += "e" + (sign == "-" ? "-" : "") + takeDigits(radix: 10)
      }
    }
    if isReal, let value = Double(number) { return .real(value) }
    let isZero = number.utf8.allSatisfy { $0 == UInt8(ascii: "0") }
    if !isReal, isZero || !number.hasPrefix("0"), number.utf8.count <= Self.mostDigits,
      let value = BigInteger(number)
    {
      return .integer(value)
    }
    throw TemplateError(.syntax, "\(number) is not a number", line: line)
  }

  private static let mostDigits = 4300
  private static let radices: [Unicode.Scalar: Int] = [
    "x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2,
  ]

  /// Digits, between which single underscores may stand.
  private mutating func takeDigits(radix: Int) -> String {
    var digits = ""
    func isDigit(_ scalar: Unicode.Scalar?) -> Bool {
      scalar.map { $0.isASCII && Int(String($0), radix: radix) != nil } ?? false
    }
    if radix != 10, scalar(position) == "_", isDigit(scalar(position + 1)) { advance() }
    while let next = scalar(position), isDigit(next) {
      digits.unicodeScalars.append(next)
      advance()
      if scalar(position) == "_", isDigit(scalar(position + 1)) { advance() }
    }
    return digits
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
      if let meaning = Self.escapes[escaped] {
        result.append(meaning)
      } else if let digits = ["x": 2, "u": 4, "U": 8][escaped] {
        result.append(try lexCode(digits: digits, radix: 16))
      } else if ("0"..."7").contains(escaped) {
        position -= 1
        let count = source[position...].prefix(3).prefix { ("0"..."7").contains($0) }.count
        result.append(try lexCode(digits: count, radix: 8))
      } else if escaped == "N" {
        throw .unknown("\\N in a string", line: line)
      } else if escaped != "\n" {
        result += ["\\", escaped]
      }
    }
    throw TemplateError(.syntax, "a string does not end", line: first)
  }

  private static let escapes: [Unicode.Scalar: Unicode.Scalar] = [
    "n": "\n", "t": "\t", "r": "\r", "a": "\u{7}", "b": "\u{8}", "f": "\u{c}", "v": "\u{b}",
    "\\": "\\", "'": "'", "\"": "\"",
  ]

  private mutating func lexCode(digits count: Int, radix: Int) throws(TemplateError)
    -> Unicode.Scalar
  {
    let digits = Self.string(source[position...].prefix(count))
    guard digits.utf8.count == count, !digits.hasPrefix("+"), !digits.hasPrefix("-"),
      let value = UInt32(digits, radix: radix), let scalar = Unicode.Scalar(value)
    else {
      throw TemplateError(.syntax, "\\ before \(digits) is not a character", line: line)
    }
    advance(count)
    return scalar
  }
}

extension Unicode.Scalar {
  fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
  fileprivate var isWord: Bool { isWordPart || properties.isXIDContinue }
}
