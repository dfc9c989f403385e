import HeapModule

/// Byte-pair encoding of one word: its characters become tokens, and pairs of tokens merge, the
/// lowest rank first. A class, since words are too many to copy its tables' references for each.
final class BPEModel: Sendable {
  let vocabulary: Vocabulary
  let merges: MergeTable
  /// The token of characters that have none; without it they are dropped.
  let unknown: Int32?
  /// Whether neighboring unknown characters are one token.
  let fusesUnknown: Bool
  /// Whether a word that is a token is that token, without regard to merges.
  let ignoresMerges: Bool
  /// The token of each byte, for characters that have none; empty without byte fallback.
  let fallback: [Int32?]
  /// The token of each byte in the byte alphabet, or -1.
  let byteIDs: [Int32]
  /// Whether a text of characters may be cut before spaces, which SentencePiece spells as U+2581: no
  /// token has a space behind something else, so that nothing merges across such a place.
  let mayCutBeforeSpaces: Bool

  init(
    vocabulary: Vocabulary, merges: MergeTable, unknown: Int32? = nil, fusesUnknown: Bool = false,
    ignoresMerges: Bool = false, byteFallback: Bool = false
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.unknown = unknown
    self.fusesUnknown = fusesUnknown
    self.ignoresMerges = ignoresMerges
    fallback = byteFallback ? (0...255).map { vocabulary.id(of: Self.spelling(ofByte: $0)) } : []
    mayCutBeforeSpaces = !ignoresMerges && Self.mayCutBeforeSpaces(vocabulary)
    byteIDs = (0...255).map { vocabulary.id(of: ByteAlphabet.spelled(CollectionOfOne($0))) ?? -1 }
  }

  /// U+2581.
  private static let space: [UInt8] = [0xe2, 0x96, 0x81]

  private static func mayCutBeforeSpaces(_ vocabulary: Vocabulary) -> Bool {
    guard vocabulary.id(of: space) != nil else { return false }
    return (0..<Int32(vocabulary.upperBound)).allSatisfy { id in
      vocabulary.withText(of: id) { place(toCut: $0, from: 0) == nil } ?? true
    }
  }

  /// The next place in `text` where a space follows something else.
  private static func place(toCut text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
    func isSpace(at index: Int) -> Bool {
      index >= 0 && index + 2 < text.count && text[index] == space[0] && text[index + 1] == space[1]
        && text[index + 2] == space[2]
    }
    var index = start + 1
    while index + 2 < text.count {
      if isSpace(at: index), !isSpace(at: index - 3) { return index }
      index += 1
    }
    return nil
  }

  /// Calls `body` with the parts of a text of characters within which tokens merge.
  func forEachPart(
    of text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    var start = 0
    while mayCutBeforeSpaces, let end = Self.place(toCut: text, from: start) {
      body(UnsafeBufferPointer(rebasing: text[start..<end]))
      start = end
    }
    if start < text.count { body(UnsafeBufferPointer(rebasing: text[start...])) }
  }

  /// The token of a byte that stands for itself: `<0x0A>`.
  private static func spelling(ofByte byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], UInt8(ascii: ">")]
  }

  /// The byte that a token stands for.
  static func byte(spelledBy text: [UInt8]) -> UInt8? {
    guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">"),
      let digits = String(validating: text[3...4], as: UTF8.self)
    else { return nil }
    return UInt8(digits, radix: 16)
  }

  /// Memory that words share.
  struct Scratch {
    var ids: [Int32] = []
    var ranks: [Int32] = []
    var spelling: [UInt8] = []
  }

  /// Leaves the tokens of a word in `scratch.ids`.
  ///
  /// - Parameters:
  ///   - word: Valid UTF-8; of `isBytes` any bytes.
  ///   - isBytes: Whether the vocabulary spells the bytes of the word in the byte alphabet, rather than
  ///     its characters.
  func encode(_ word: UnsafeBufferPointer<UInt8>, isBytes: Bool, _ scratch: inout Scratch) {
    scratch.ids.removeAll(keepingCapacity: true)
    if ignoresMerges, let id = wholeWord(word, isBytes: isBytes, &scratch) {
      return scratch.ids.append(id)
    }
    var pending = false
    var index = 0
    while index < word.count {
      if isBytes {
        let id = byteIDs[Int(word[index])]
        if id >= 0, !pending {
          scratch.ids.append(id)
        } else {
          let spelling = ByteAlphabet.spelled(CollectionOfOne(word[index]))
          spelling.withUnsafeBufferPointer { add($0, id: id, &pending, &scratch) }
        }
        index += 1
      } else {
        let length = word.scalar(at: index).length
        let character = UnsafeBufferPointer(rebasing: word[index..<index + length])
        add(character, id: vocabulary.id(of: character) ?? -1, &pending, &scratch)
        index += length
      }
    }
    if pending, let unknown { scratch.ids.append(unknown) }
    merge(&scratch)
  }

  private func wholeWord(
    _ word: UnsafeBufferPointer<UInt8>, isBytes: Bool, _ scratch: inout Scratch
  ) -> Int32? {
    guard isBytes else { return vocabulary.id(of: word) }
    scratch.spelling.removeAll(keepingCapacity: true)
    for byte in word {
      let (first, second) = ByteAlphabet.units[Int(byte)]
      scratch.spelling.append(first)
      if second != 0 { scratch.spelling.append(second) }
    }
    return vocabulary.id(of: scratch.spelling)
  }

  /// Adds the token of a character, those of its bytes, or later the unknown token. Bytes do not
  /// bring out an unknown token that is pending: so does the `tokenizers` package.
  private func add(
    _ character: UnsafeBufferPointer<UInt8>, id: Int32, _ pending: inout Bool,
    _ scratch: inout Scratch
  ) {
    if id >= 0 {
      if pending, let unknown { scratch.ids.append(unknown) }
      pending = false
      return scratch.ids.append(id)
    }
    if !fallback.isEmpty, character.allSatisfy({ fallback[Int($0)] != nil }) {
      for byte in character { if let id = fallback[Int(byte)] { scratch.ids.append(id) } }
      return
    }
    if pending, !fusesUnknown, let unknown { scratch.ids.append(unknown) }
    pending = unknown != nil
  }

  /// Words of at most this many tokens merge by looking through all pairs.
  private static let shortest = 32

  private func merge(_ scratch: inout Scratch) {
    if scratch.ids.count > Self.shortest { return scratch.ids = mergeLong(scratch.ids) }
    var count = scratch.ids.count
    guard count > 1 else { return }
    scratch.ranks.removeAll(keepingCapacity: true)
    for index in 0..<count - 1 {
      scratch.ranks.append(merges[scratch.ids[index], scratch.ids[index + 1]]?.rank ?? .max)
    }
    scratch.ids.withUnsafeMutableBufferPointer { ids in
      scratch.ranks.withUnsafeMutableBufferPointer { ranks in
        while count > 1 {
          var (best, at) = (Int32.max, 0)
          for index in 0..<count - 1 where ranks[index] < best {
            (best, at) = (ranks[index], index)
          }
          guard best < .max, let merge = merges[ids[at], ids[at + 1]] else { break }
          ids[at] = merge.id
          count -= 1
          for index in at + 1..<count { ids[index] = ids[index + 1] }
          for index in at..<count - 1 { ranks[index] = ranks[index + 1] }
          if at > 0 { ranks[at - 1] = merges[ids[at - 1], ids[at]]?.rank ?? .max }
          if at + 1 < count { ranks[at] = merges[ids[at], ids[at + 1]]?.rank ?? .max }
        }
      }
    }
    scratch.ids.removeLast(scratch.ids.count - count)
  }
}

extension BPEModel {
  /// Applies merges to a long word, the lowest rank first and of equal ranks the leftmost.
  /// Takes n log n steps for n tokens.
  private func mergeLong(_ tokens: [Int32]) -> [Int32] {
    var ids = tokens
    // A doubly linked list over the positions; a merged-away position has id -1.
    var next = Array(1...ids.count)
    var previous = Array(-1..<ids.count - 1)
    var queue = Heap<Candidate>()
    func candidate(at position: Int) -> Candidate? {
      guard position >= 0, next[position] < ids.count else { return nil }
      let (left, right) = (ids[position], ids[next[position]])
      return merges[left, right].map {
        Candidate(merge: $0, position: position, left: left, right: right)
      }
    }
    for position in ids.indices { if let found = candidate(at: position) { queue.insert(found) } }
    while let best = queue.popMin() {
      let right = next[best.position]
      guard ids[best.position] == best.left, right < ids.count, ids[right] == best.right
      else { continue }
      ids[best.position] = best.merge.id
      ids[right] = -1
      next[best.position] = next[right]
      if next[right] < ids.count { previous[next[right]] = best.position }
      for position in [previous[best.position], best.position] {
        if let found = candidate(at: position) { queue.insert(found) }
      }
    }
    return ids.filter { $0 >= 0 }
  }

  private struct Candidate: Comparable {
    let merge: MergeTable.Merge
    let position: Int
    let left: Int32
    let right: Int32

    static func < (a: Candidate, b: Candidate) -> Bool {
      (a.merge.rank, a.position) < (b.merge.rank, b.position)
    }

    static func == (a: Candidate, b: Candidate) -> Bool {
      (a.merge.rank, a.position) == (b.merge.rank, b.position)
    }
  }
}
