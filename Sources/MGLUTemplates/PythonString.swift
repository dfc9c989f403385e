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
    while parts.count < limit, let range = rest.firstRange(of: separator) {
      parts.append(String(Substring(rest[..<range.lowerBound])))
      rest = rest[range.upperBound...]
    }
    return parts + [String(Substring(rest))]
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

  /// Whether the bytes begin with those of `other`.
  func begins(with other: String) -> Bool { utf8.starts(with: other.utf8) }

  /// Whether the bytes end with those of `other`.
  func ends(with other: String) -> Bool { utf8.reversed().starts(with: other.utf8.reversed()) }

  /// The first scalar in upper case, the rest in lower case.
  var capitalized: String {
    guard let first = unicodeScalars.first else { return self }
    return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).lowercased()
  }

  /// Every word capitalized; a word ends where `isEnd` says so.
  func titled(_ isEnd: (Unicode.Scalar) -> Bool) -> String {
    var result = ""
    var isStart = true
    for scalar in unicodeScalars {
      let properties = scalar.properties
      result += isStart ? properties.titlecaseMapping : properties.lowercaseMapping
      isStart = isEnd(scalar)
    }
    return result
  }
}

extension Collection where Element == UInt8 {
  /// Where the bytes of `part` are first found, in time that grows with the sum of both lengths
  /// (Knuth, Morris, Pratt).
  func firstRange(of part: String) -> Range<Index>? {
    let part = Array(part.utf8)
    guard !part.isEmpty else { return startIndex..<startIndex }
    // For each beginning of `part`, the longest shorter one that it ends with.
    var borders = [0]
    for byte in part.dropFirst() {
      var length = borders[borders.count - 1]
      while length > 0, part[length] != byte { length = borders[length - 1] }
      borders.append(part[length] == byte ? length + 1 : 0)
    }
    var (start, end, matched) = (startIndex, startIndex, 0)
    while end != endIndex {
      while matched > 0, part[matched] != self[end] {
        start = index(start, offsetBy: matched - borders[matched - 1])
        matched = borders[matched - 1]
      }
      let isMatch = part[matched] == self[end]
      formIndex(after: &end)
      if isMatch { matched += 1 } else { start = end }
      if matched == part.count { return start..<end }
    }
    return nil
  }
}
