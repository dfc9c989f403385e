/// Texts as Python handles them: scalar by scalar, without regard for what Unicode calls equal.
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
  var capitalised: String {
    guard let first = unicodeScalars.first else { return self }
    return first.properties.titlecaseMapping + String(unicodeScalars.dropFirst()).lowercased()
  }

  /// Every word capitalised; a word ends where `isEnd` says so.
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

extension Collection where Element == UInt8, SubSequence: Collection {
  /// Where the bytes of `part` are first found.
  func firstRange(of part: String) -> Range<Index>? {
    let part = Array(part.utf8)
    guard let first = part.first else { return startIndex..<startIndex }
    var rest = self[...]
    while let start = rest.firstIndex(of: first) {
      let tail = self[start...]
      if let end = tail.index(tail.startIndex, offsetBy: part.count, limitedBy: tail.endIndex),
        tail[..<end].elementsEqual(part)
      {
        return start..<end
      }
      rest = self[index(after: start)...][...]
    }
    return nil
  }
}
