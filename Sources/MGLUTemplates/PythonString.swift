/// Strings as Python handles them: scalar by scalar, without regard to Unicode's equivalence.
extension String {
  /// Without the scalars of `set`, by default blanks, at either or both ends.
  func stripped(of set: String? = nil, start: Bool = true, end: Bool = true) -> String {
    let scalars = set.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { scalars?.contains(scalar) ?? scalar.isBlank }
    var view = unicodeScalars[...]
    if start { view = view.drop(while: goes) }
    if end { while let last = view.last, goes(last) { view.removeLast() } }
    return String(view)
  }

  /// The parts between occurrences of `separator`, at most `limit` of which are seen.
  func parts(between separator: String, limit: Int = .max) -> [String] {
    var parts: [String] = []
    var rest = utf8[...]
    let search = StringSearch(separator)
    while parts.count < limit, let range = search.firstRange(in: rest) {
      parts.append(String(Substring(rest[..<range.lowerBound])))
      rest = rest[range.upperBound...]
    }
    return parts + [String(Substring(rest))]
  }

  /// As `parts`, with the occurrences seen from the end.
  func partsFromEnd(between separator: String, limit: Int) -> [String] {
    let turned = String(String.UnicodeScalarView(unicodeScalars.reversed()))
    let by = String(String.UnicodeScalarView(separator.unicodeScalars.reversed()))
    return turned.parts(between: by, limit: limit).reversed().map {
      String(String.UnicodeScalarView($0.unicodeScalars.reversed()))
    }
  }

  /// How often `part` occurs, without overlaps.
  func occurrences(of part: String) -> Int {
    var (count, rest) = (0, utf8[...])
    let search = StringSearch(part)
    while let range = search.firstRange(in: rest) {
      count += 1
      rest = rest[range.upperBound...]
    }
    return count
  }

  /// The number of scalars before the first or the last occurrence of `part`.
  func place(of part: String, last: Bool) -> Int? {
    guard last else {
      return utf8.firstRange(of: part).map { unicodeScalars[..<$0.lowerBound].count }
    }
    let parts = partsFromEnd(between: part, limit: 1)
    if part.isEmpty { return unicodeScalars.count }
    return parts.count == 2 ? parts[0].unicodeScalars.count : nil
  }

  /// The parts between blanks, at most `limit` of which are seen.
  func words(limit: Int = .max) -> [String] {
    var words: [String] = []
    var rest = unicodeScalars.drop(while: \.isBlank)
    while !rest.isEmpty {
      let word = words.count < limit ? rest.prefix { !$0.isBlank } : rest
      words.append(String(word))
      rest = rest[word.endIndex...].drop(while: \.isBlank)
    }
    return words
  }

  /// As `words`, with the blanks seen from the end.
  func wordsFromEnd(limit: Int) -> [String] {
    let turned = String(String.UnicodeScalarView(unicodeScalars.reversed()))
    return turned.words(limit: limit).reversed().map {
      String(String.UnicodeScalarView($0.unicodeScalars.reversed()))
    }
  }

  /// The lines, without what ends them unless `keepsEnds`.
  func pythonLines(keepsEnds: Bool = false) -> [String] {
    var lines: [String] = []
    let scalars = unicodeScalars
    var (start, index) = (scalars.startIndex, scalars.startIndex)
    while index < scalars.endIndex {
      let (scalar, end) = (scalars[index], index)
      scalars.formIndex(after: &index)
      guard scalar.endsLine else { continue }
      if scalar == "\r", index < scalars.endIndex, scalars[index] == "\n" {
        scalars.formIndex(after: &index)
      }
      lines.append(String(scalars[start..<(keepsEnds ? index : end)]))
      start = index
    }
    if start < scalars.endIndex { lines.append(String(scalars[start...])) }
    return lines
  }

  /// With `new` before every scalar and at the end, at most `limit` times.
  func replacingNothing(by new: String, limit: Int) -> String {
    var result = String.UnicodeScalarView()
    var count = 0
    for scalar in unicodeScalars {
      if count < limit { result.append(contentsOf: new.unicodeScalars) }
      count += 1
      result.append(scalar)
    }
    return String(result) + (count < limit ? new : "")
  }

  /// With blanks in place of tabs, to columns that `size` divides.
  func expandingTabs(to size: Int) -> String {
    var (result, column) = (String.UnicodeScalarView(), 0)
    for scalar in unicodeScalars {
      switch scalar {
      case "\t":
        guard size > 0 else { continue }
        let count = size - column % size
        for _ in 0..<count { result.append(" ") }
        column += count
      case "\n", "\r":
        result.append(scalar)
        column = 0
      default:
        result.append(scalar)
        column += 1
      }
    }
    return String(result)
  }

  /// Whether the bytes begin with those of `other`.
  func begins(with other: String) -> Bool { utf8.starts(with: other.utf8) }

  /// Whether the bytes end with those of `other`.
  func ends(with other: String) -> Bool { utf8.reversed().starts(with: other.utf8.reversed()) }
}

/// Finds one string in others, in time that grows with the sum of both lengths (Knuth, Morris, Pratt).
struct StringSearch {
  private let part: [UInt8]
  /// For each beginning of `part`, the longest shorter one that it ends with.
  private var borders = [0]

  init(_ string: String) {
    part = Array(string.utf8)
    for byte in part.dropFirst() {
      var length = borders[borders.count - 1]
      while length > 0, part[length] != byte { length = borders[length - 1] }
      borders.append(part[length] == byte ? length + 1 : 0)
    }
  }

  /// Where the bytes are first found.
  func firstRange<Bytes: Collection>(in bytes: Bytes) -> Range<Bytes.Index>?
  where Bytes.Element == UInt8 {
    guard !part.isEmpty else { return bytes.startIndex..<bytes.startIndex }
    var (start, end, matched) = (bytes.startIndex, bytes.startIndex, 0)
    while end != bytes.endIndex {
      while matched > 0, part[matched] != bytes[end] {
        start = bytes.index(start, offsetBy: matched - borders[matched - 1])
        matched = borders[matched - 1]
      }
      let isMatch = part[matched] == bytes[end]
      bytes.formIndex(after: &end)
      if isMatch { matched += 1 } else { start = end }
      if matched == part.count { return start..<end }
    }
    return nil
  }
}

extension Collection where Element == UInt8 {
  /// Where the bytes of `part` are first found.
  func firstRange(of part: String) -> Range<Index>? { StringSearch(part).firstRange(in: self) }
}
