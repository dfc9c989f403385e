extension PatternParser {
  mutating func escape() throws(Problem) -> PatternNode {
    if let anchor = next.flatMap({ Self.anchors[$0] }) {
      index += 1
      return .anchor(anchor)
    }
    switch try escaped() {
    case .set(let set): return .scalar(set)
    case .scalar(let scalar): return literal(scalar)
    }
  }

  private static let anchors: [Unicode.Scalar: PatternNode.Anchor] = [
    "A": .textStart, "z": .textEnd, "Z": .textEndOrLastLineBreak, "b": .wordBorder,
    "B": .noWordBorder,
  ]

  enum Escaped {
    case set(ScalarSetExpression)
    case scalar(Unicode.Scalar)
  }

  /// What follows a backslash, in a class or outside.
  mutating func escaped() throws(Problem) -> Escaped {
    let scalar = try take()
    switch scalar {
    case "t": return .scalar("\t")
    case "n": return .scalar("\n")
    case "r": return .scalar("\r")
    case "f": return .scalar("\u{c}")
    case "v": return .scalar("\u{b}")
    case "a": return .scalar("\u{7}")
    case "e": return .scalar("\u{1b}")
    case "x":
      if skip("{") {
        let scalar = try hexadecimal(1...8)
        if !skip("}") { throw Problem(reason: "\\x{ without }") }
        return .scalar(scalar)
      }
      return .scalar(try hexadecimal(1...2))
    case "u": return .scalar(try hexadecimal(4...4))
    case "d": return .set(UnicodeProperty.digit)
    case "D": return .set(.complement(UnicodeProperty.digit))
    case "s": return .set(UnicodeProperty.space)
    case "S": return .set(.complement(UnicodeProperty.space))
    case "w": return .set(UnicodeProperty.patternWord)
    case "W": return .set(.complement(UnicodeProperty.patternWord))
    case "h": return .set(UnicodeProperty.hexDigit)
    case "H": return .set(.complement(UnicodeProperty.hexDigit))
    case "p", "P":
      guard skip("{") else { throw Problem(reason: "\\\(scalar) without {") }
      let isNegative = skip("^") != (scalar == "P")
      var name = ""
      while case let scalar = try take(), scalar != "}" { name.unicodeScalars.append(scalar) }
      guard let set = UnicodeProperty.named(name) else {
        throw Problem(reason: "the property \\p{\(name)}")
      }
      return .set(isNegative ? .complement(set) : set)
    case "0"..."9", "a"..."z", "A"..."Z": throw Problem(reason: "\\\(scalar)")
    default: return .scalar(scalar)
    }
  }

  private mutating func hexadecimal(_ digits: ClosedRange<Int>) throws(Problem) -> Unicode.Scalar {
    var (value, count) = (UInt32(0), 0)
    while count < digits.upperBound, let scalar = next, scalar.isASCII,
      let digit = Character(scalar).hexDigitValue
    {
      value = value << 4 | UInt32(digit)
      index += 1
      count += 1
    }
    guard count >= digits.lowerBound, let scalar = Unicode.Scalar(value) else {
      throw Problem(reason: "a hexadecimal number that is no character")
    }
    return scalar
  }
}
