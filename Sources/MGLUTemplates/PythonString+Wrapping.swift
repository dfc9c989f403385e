/// Lines of limited width, as Python's `textwrap` breaks them.
extension String {
  /// The line as lines of at most `width` scalars.
  func wrapped(to width: Int, breaksWords: Bool, breaksHyphens: Bool) -> [String] {
    var chunks = Array(chunks(breaksHyphens: breaksHyphens).reversed())
    var lines: [String] = []
    while let first = chunks.last {
      // A line other than the first does not begin with blanks.
      if first.allSatisfy(\.isBlank), !lines.isEmpty {
        chunks.removeLast()
        if chunks.isEmpty { break }
      }
      var (line, length) = ([[Unicode.Scalar]](), 0)
      while let next = chunks.last, length + next.count <= width {
        line.append(next)
        length += next.count
        chunks.removeLast()
      }
      if let next = chunks.last, next.count > width {
        if breaksWords {
          let room = width < 1 ? 1 : width - length
          var cut = room
          if breaksHyphens, next.count > room, let hyphen = next[..<room].lastIndex(of: "-"),
            hyphen > 0, next[..<hyphen].contains(where: { $0 != "-" })
          {
            cut = hyphen + 1
          }
          line.append(Array(next[..<cut]))
          chunks[chunks.count - 1] = Array(next[cut...])
        } else if line.isEmpty {
          line.append(next)
          chunks.removeLast()
        }
      }
      if let last = line.last, last.allSatisfy(\.isBlank) { line.removeLast() }
      if !line.isEmpty {
        var text = String.UnicodeScalarView()
        for part in line { text.append(contentsOf: part) }
        lines.append(String(text))
      }
    }
    return lines
  }

  /// Words, their parts after hyphens, and the blanks between.
  private func chunks(breaksHyphens: Bool) -> [[Unicode.Scalar]] {
    let scalars = Array(unicodeScalars)
    func isSpace(_ index: Int) -> Bool {
      [0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20].contains(scalars[index].value)
    }
    func isLetter(_ index: Int) -> Bool {
      scalars.indices.contains(index) && scalars[index].isWordPart && !scalars[index].isAnyDigit
    }
    func isWord(_ index: Int) -> Bool {
      scalars.indices.contains(index)
        && (scalars[index].isWordPart || "!\"'&.,?".unicodeScalars.contains(scalars[index]))
    }
    /// Whether a word may be broken before `index`.
    func breaks(_ index: Int) -> Bool {
      guard breaksHyphens else { return false }
      var next = index
      while next < scalars.count, scalars[next] == "-" { next += 1 }
      let isDash = next - index >= 2 && next < scalars.count && scalars[next].isWordPart
      if isDash, scalars[index - 1] != "-", isWord(index - 1) { return true }
      guard scalars[index - 1] == "-" else { return false }
      var first = index - 1
      while first > 0, scalars[first - 1] == "-" { first -= 1 }
      if index - first >= 2 {
        return scalars[index] != "-" && scalars[index].isWordPart && isWord(first - 1)
      }
      let before =
        isLetter(index - 2) && isLetter(index - 3)
        || isLetter(index - 2) && index >= 4 && scalars[index - 3] == "-" && isLetter(index - 4)
      let after =
        isLetter(index)
        && (isLetter(index + 1)
          || index + 1 < scalars.count && scalars[index + 1] == "-" && isLetter(index + 2))
      return before && after
    }
    var chunks: [[Unicode.Scalar]] = []
    var start = 0
    for index in scalars.indices.dropFirst() {
      if isSpace(index) != isSpace(index - 1) || !isSpace(index) && breaks(index) {
        chunks.append(Array(scalars[start..<index]))
        start = index
      }
    }
    if start < scalars.count { chunks.append(Array(scalars[start...])) }
    return chunks
  }
}
