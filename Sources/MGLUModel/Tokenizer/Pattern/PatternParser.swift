/// Reads a pattern in the syntax of Oniguruma, as the `tokenizers` package has it.
///
/// Groups capture nothing: a pattern only says where text is cut.
struct PatternParser {
  let scalars: [Unicode.Scalar]
  var index = 0
  private var depth = 0
  var ignoresCase = false
  private var dotMatchesLineBreaks = false
  private var isExtended = false

  /// Groups and classes within each other.
  private static let deepest = 64
  private static let longest = 16_384
  private static let mostRepetitions = 100_000

  /// Why a pattern cannot be used, in a few words.
  struct Problem: Error { let reason: String }

  static func parse(_ pattern: String) throws(Problem) -> PatternNode {
    var parser = PatternParser(scalars: Array(pattern.unicodeScalars))
    guard parser.scalars.count <= longest else {
      throw Problem(reason: "\(parser.scalars.count) characters: expected at most \(longest)")
    }
    let node = try parser.alternatives()
    if !parser.isAtEnd { throw Problem(reason: "unmatched )") }
    return node
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private var isAtEnd: Bool { index == scalars.count }
  var next: Unicode.Scalar? { isAtEnd ? nil : scalars[index] }

  mutating func take() throws(Problem) -> Unicode.Scalar {
    guard let scalar = next else { throw Problem(reason: "it ends too early") }
    index += 1
    return scalar
  }

  mutating func skip(_ text: String) -> Bool {
    let expected = Array(text.unicodeScalars)
    guard scalars[index...].starts(with: expected) else { return false }
    index += expected.count
    return true
  }

  mutating func deeper<T>(
    _ body: (inout Self) throws(Problem) -> T
  ) throws(Problem) -> T {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepest { throw Problem(reason: "more than \(Self.deepest) groups in groups") }
    return try body(&self)
  }

  /// Up to a closing parenthesis or the end. Options that a group sets end with it.
  private mutating func alternatives() throws(Problem) -> PatternNode {
    try deeper { (parser: inout Self) throws(Problem) -> PatternNode in
      let options = (parser.ignoresCase, parser.dotMatchesLineBreaks, parser.isExtended)
      defer { (parser.ignoresCase, parser.dotMatchesLineBreaks, parser.isExtended) = options }
      var result = [try parser.sequence()]
      while parser.skip("|") { result.append(try parser.sequence()) }
      return result.count == 1 ? result[0] : .alternatives(result)
    }
  }

  private mutating func sequence() throws(Problem) -> PatternNode {
    var parts: [PatternNode] = []
    while true {
      if isExtended { skipComments() }
      guard let scalar = next, scalar != "|", scalar != ")" else { break }
      if let atom = try atom() { parts.append(try repetitions(of: atom)) }
    }
    return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .sequence(parts)
  }

  private mutating func skipComments() {
    while let scalar = next {
      if scalar == "#" {
        while let scalar = next, scalar != "\n" { index += 1 }
      } else if scalar.properties.isPatternWhitespace {
        index += 1
      } else {
        return
      }
    }
  }

  private mutating func repetitions(of atom: PatternNode) throws(Problem) -> PatternNode {
    var node = atom
    var count = 0
    while true {
      if isExtended { skipComments() }
      var (min, max, isInterval) = (0, Int.max, false)
      switch next {
      case "*": index += 1
      case "+":
        index += 1
        min = 1
      case "?":
        index += 1
        max = 1
      case "{":
        guard let interval = try interval() else { return node }
        (min, max, isInterval) = (interval.0, interval.1, true)
      default: return node
      }
      count += 1
      if count > Self.deepest {
        throw Problem(reason: "more than \(Self.deepest) repetitions of one")
      }
      var kind = PatternNode.Repetition.greedy
      if isInterval, min == max {
        // {n}? is {n}, or nothing.
        if skip("?") { min = 0; node = .repeated(node, min: max, max: max, .greedy); max = 1 }
      } else if skip("?") {
        kind = .lazy
      } else if !isInterval, skip("+") {
        kind = .possessive
      }
      node = .repeated(node, min: min, max: max, kind)
    }
  }

  /// `{n}`, `{n,}`, `{,m}` or `{n,m}`; other braces stand for themselves.
  private mutating func interval() throws(Problem) -> (Int, Int)? {
    let start = index
    index += 1
    let low = try number()
    var high = low
    if skip(",") { high = try number() ?? (low == nil ? nil : .max) }
    guard skip("}"), low != nil || high != nil else {
      index = start
      return nil
    }
    let (min, max) = (low ?? 0, high ?? .max)
    if min > max { throw Problem(reason: "{\(min),\(max)}") }
    return (min, max)
  }

  private mutating func number() throws(Problem) -> Int? {
    var result: Int?
    while let scalar = next, ("0"..."9").contains(scalar) {
      index += 1
      let value = (result ?? 0) * 10 + Int(scalar.value - 0x30)
      if value > Self.mostRepetitions {
        throw Problem(reason: "more than \(Self.mostRepetitions) repetitions")
      }
      result = value
    }
    return result
  }

  /// One item of a sequence; `nil` for a comment or options.
  private mutating func atom() throws(Problem) -> PatternNode? {
    let scalar = try take()
    switch scalar {
    case "(": return try group()
    case "[": return .scalar(try classBody())
    case ".":
      return .scalar(dotMatchesLineBreaks ? .complement(.ranges([])) : .complement(.scalar(10)))
    case "^": return .anchor(.lineStart)
    case "$": return .anchor(.lineEnd)
    case "\\": return try escape()
    case "*", "+", "?": throw Problem(reason: "\(scalar) repeats nothing")
    case "{":
      index -= 1
      if try interval() != nil { throw Problem(reason: "{} repeats nothing") }
      index += 1
      return literal(scalar)
    default: return literal(scalar)
    }
  }

  func literal(_ scalar: Unicode.Scalar) -> PatternNode {
    let set = ScalarSetExpression.scalar(scalar.value)
    return .scalar(ignoresCase ? set.ofAnyCase : set)
  }

  private mutating func group() throws(Problem) -> PatternNode? {
    func closed(_ node: PatternNode) throws(Problem) -> PatternNode {
      if !skip(")") { throw Problem(reason: "( without )") }
      return node
    }
    guard skip("?") else { return try closed(try alternatives()) }
    if skip("#") {
      while try take() != ")" {}
      return nil
    }
    if skip(":") { return try closed(try alternatives()) }
    if skip(">") { return try closed(.atomic(try alternatives())) }
    for (opening, behind, negative) in [
      ("=", false, false), ("!", false, true), ("<=", true, false), ("<!", true, true),
    ] where skip(opening) {
      let node = try closed(try alternatives())
      guard behind else { return .look(node, behind: false, negative: negative) }
      // Each alternative may have a length of its own.
      let parts = if case .alternatives(let parts) = node { parts } else { [node] }
      if parts.contains(where: { $0.width == nil }) {
        throw Problem(reason: "(?\(opening) of no fixed length")
      }
      let looks = parts.map { PatternNode.look($0, behind: true, negative: negative) }
      return negative ? .sequence(looks) : .alternatives(looks)
    }
    if skip("<") {
      while try take() != ">" {}
      return try closed(try alternatives())
    }
    let options = (ignoresCase, dotMatchesLineBreaks, isExtended)
    var value = true
    while true {
      let scalar = try take()
      switch scalar {
      case "-": value = false
      case "i": ignoresCase = value
      case "m": dotMatchesLineBreaks = value
      case "x": isExtended = value
      case ")": return try alternatives()  // the options hold until the group around them ends
      case ":":
        let node = try closed(try alternatives())
        (ignoresCase, dotMatchesLineBreaks, isExtended) = options
        return node
      default: throw Problem(reason: "(?\(scalar)")
      }
    }
  }
}
