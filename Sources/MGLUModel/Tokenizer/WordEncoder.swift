import HeapModule

/// Encodes the words of one string, and remembers the ones it has seen: words recur.
struct WordEncoder {
  private let tokenizer: Tokenizer
  private let bytes: UnsafeBufferPointer<UInt8>
  private var seen: [Word: [Int32]] = [:]

  /// Words longer than this are not remembered.
  private static let longestRemembered = 64

  init(tokenizer: Tokenizer, bytes: UnsafeBufferPointer<UInt8>) {
    self.tokenizer = tokenizer
    self.bytes = bytes
  }

  /// Appends the ids of a part of the bytes, in which `added` finds tokens.
  mutating func encode(
    _ range: Range<Int>, added: AddedTokenMatcher, into ids: inout [Int32]
  ) {
    added.forEachPart(of: bytes, in: range) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .plain(let range): encode(range, into: &ids)
      }
    }
  }

  private mutating func encode(_ range: Range<Int>, into ids: inout [Int32]) {
    guard !range.isEmpty else { return }
    let part = UnsafeBufferPointer(rebasing: bytes[range])
    if tokenizer.merges.isEmpty, !tokenizer.ignoresMerges {
      ids += part.lazy.map { tokenizer.byteIDs[Int($0)] }
      return
    }
    tokenizer.preTokenizer.forEachWord(part) { range in
      let word = Word(bytes: UnsafeBufferPointer(rebasing: part[range]))
      if let known = seen[word] {
        ids += known
        return
      }
      let merged =
        tokenizer.ignoresMerges
        ? tokenizer.wordIDs[Array(word.bytes)].map { [$0] } ?? tokenizer.merge(word.bytes)
        : tokenizer.merge(word.bytes)
      ids += merged
      if range.count <= Self.longestRemembered { seen[word] = merged }
    }
  }

  /// A word by its bytes, which stay valid as long as the encoder.
  private struct Word: Hashable {
    let bytes: UnsafeBufferPointer<UInt8>

    static func == (a: Word, b: Word) -> Bool { a.bytes.elementsEqual(b.bytes) }
    func hash(into hasher: inout Hasher) {
      hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
    }
  }
}

extension Tokenizer {
  /// Applies merges to one word, the lowest rank first and of equal ranks the leftmost.
  /// Takes n log n steps for n bytes.
  func merge(_ word: UnsafeBufferPointer<UInt8>) -> [Int32] {
    var ids = word.map { byteIDs[Int($0)] }
    guard ids.count > 1 else { return ids }
    // A doubly linked list over the positions; a merged-away position has id -1.
    var next = Array(1...ids.count)
    var previous = Array(-1..<ids.count - 1)
    var queue = Heap<Candidate>()
    func candidate(at position: Int) -> Candidate? {
      guard position >= 0, next[position] < ids.count else { return nil }
      let pair = TokenPair(left: ids[position], right: ids[next[position]])
      return merges[pair].map { Candidate(merge: $0, position: position, pair: pair) }
    }
    for position in ids.indices { if let found = candidate(at: position) { queue.insert(found) } }
    while let best = queue.popMin() {
      let right = next[best.position]
      guard ids[best.position] == best.pair.left, right < ids.count, ids[right] == best.pair.right
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
    let merge: Merge
    let position: Int
    let pair: TokenPair

    static func < (a: Candidate, b: Candidate) -> Bool {
      (a.merge.rank, a.position) < (b.merge.rank, b.position)
    }
  }
}
