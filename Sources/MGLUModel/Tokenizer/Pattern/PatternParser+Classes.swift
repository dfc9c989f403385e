extension PatternParser {
  /// A class after its opening bracket.
  mutating func classBody() throws(Problem) -> ScalarSetExpression {
    try deeper { (parser: inout Self) throws(Problem) -> ScalarSetExpression in
      let isNegative = parser.skip("^")
      var set = try parser.classItems(isFirst: true)
      while parser.skip("&&") {
        set = .intersection(set, try parser.classItems(isFirst: false))
      }
      if !parser.skip("]") { throw Problem(reason: "[ without ]") }
      if parser.ignoresCase { set = set.ofAnyCase }
      return isNegative ? .complement(set) : set
    }
  }

  /// The union of the items up to `&&` or the closing bracket.
  private mutating func classItems(isFirst: Bool) throws(Problem) -> ScalarSetExpression {
    var ranges: [ClosedRange<UInt32>] = []
    var sets: [ScalarSetExpression] = []
    var isFirst = isFirst
    while let scalar = next {
      if scalar == "]", !isFirst || !scalars[(index + 1)...].contains("]") { break }
      if scalar == "&", skip("&&") {
        index -= 2
        break
      }
      isFirst = false
      if skip("[:"), let set = try posixClass() {
        sets.append(set)
        continue
      }
      if skip("[") {
        sets.append(try classBody())
        continue
      }
      switch try classScalar() {
      case .set(let set):
        sets.append(set)
        if next == "-", index + 1 < scalars.count, scalars[index + 1] != "]" {
          throw Problem(reason: "a range that begins with a class")
        }
      case .scalar(let low):
        guard next == "-", index + 1 < scalars.count, scalars[index + 1] != "]" else {
          ranges.append(low.value...low.value)
          continue
        }
        index += 1
        guard !skip("["), case .scalar(let high) = try classScalar() else {
          throw Problem(reason: "a range that ends with a class")
        }
        guard low <= high else { throw Problem(reason: "the range \(low)-\(high)") }
        ranges.append(low.value...high.value)
      }
    }
    return sets.isEmpty ? .ranges(ranges) : .union(sets + [.ranges(ranges)])
  }

  private mutating func classScalar() throws(Problem) -> Escaped {
    let scalar = try take()
    guard scalar == "\\" else { return .scalar(scalar) }
    if skip("b") { return .scalar("\u{8}") }
    return try escaped()
  }

  /// The class of `[:name:]` after its opening; `nil`, and nothing is read, where it is none.
  private mutating func posixClass() throws(Problem) -> ScalarSetExpression? {
    let start = index - 1
    let isNegative = skip("^")
    var name = ""
    while let scalar = next, ("a"..."z").contains(scalar) {
      name.unicodeScalars.append(scalar)
      index += 1
    }
    guard skip(":]") else {
      index = start
      return nil
    }
    guard let set = UnicodeProperty.posix(name) else { throw Problem(reason: "[:\(name):]") }
    return isNegative ? .complement(set) : set
  }
}
