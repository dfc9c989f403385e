/// Encodes the parts of one text, and remembers the words it has seen: words recur.
struct WordEncoder {
  private let tokenizer: Tokenizer
  private let budget: PatternBudget
  private var scratch = BPEModel.Scratch()
  private var seen = WordCache()

  init(tokenizer: Tokenizer, budget: PatternBudget) {
    self.tokenizer = tokenizer
    self.budget = budget
  }

  /// Appends the ids of normalized text, in which `added` finds tokens.
  ///
  /// - Parameter startsText: Whether no text stands before it.
  mutating func encode(
    _ text: UnsafeBufferPointer<UInt8>, added: AddedTokenMatcher, startsText: Bool,
    into ids: inout [Int32]
  ) {
    added.forEachPart(of: text) { part in
      switch part {
      case .token(let id): ids.append(id)
      case .plain(let range):
        encode(
          UnsafeBufferPointer(rebasing: text[range]),
          startsText: startsText && range.lowerBound == 0, into: &ids)
      }
    }
  }

  private mutating func encode(
    _ text: UnsafeBufferPointer<UInt8>, startsText: Bool, into ids: inout [Int32]
  ) {
    let (model, preTokenizer) = (tokenizer.model, tokenizer.preTokenizer)
    let isBytes = preTokenizer.isByteLevel
    if tokenizer.isBytes { return ids += text.lazy.map { model.byteIDs[Int($0)] } }
    preTokenizer.forEachWord(text, startsText: startsText, budget: budget) { word in
      if isBytes {
        append(idsOf: word, isBytes: true, to: &ids)
      } else {
        model.forEachPart(of: word) { append(idsOf: $0, isBytes: false, to: &ids) }
      }
    }
  }

  @inline(__always)
  private mutating func append(
    idsOf word: UnsafeBufferPointer<UInt8>, isBytes: Bool, to ids: inout [Int32]
  ) {
    if seen.append(idsOf: word, to: &ids) { return }
    tokenizer.model.encode(word, isBytes: isBytes, &scratch)
    ids += scratch.ids
    seen.insert(word, scratch.ids)
  }
}

/// The ids of words that have been encoded.
private struct WordCache {
  private var bytes: [UInt8] = []
  private var ids: [Int32] = []
  private var entries: [Entry] = []
  /// Indices of entries plus one by the hash of their word; 0 is free. Its size is a power of two.
  private var table = [Int32](repeating: 0, count: 256)

  private struct Entry {
    let hash: UInt64
    let start: Int32
    let count: Int32
    let firstID: Int32
    let idCount: Int32
  }

  /// Words longer than this are not remembered.
  private static let longest = 64
  private static let most = 1 << 20

  /// Appends the ids of `word`, if it has been inserted.
  @inline(__always)
  func append(idsOf word: UnsafeBufferPointer<UInt8>, to result: inout [Int32]) -> Bool {
    if word.count > Self.longest { return false }
    let hash = Vocabulary.hash(word)
    var slot = Int(truncatingIfNeeded: hash) & (table.count - 1)
    while table[slot] != 0 {
      let entry = entries[Int(table[slot]) - 1]
      if entry.hash == hash, Int(entry.count) == word.count, isEqual(word, at: Int(entry.start)) {
        let first = Int(entry.firstID)
        if entry.idCount == 1 {
          result.append(ids[first])
        } else {
          result += ids[first..<first + Int(entry.idCount)]
        }
        return true
      }
      slot = (slot + 1) & (table.count - 1)
    }
    return false
  }

  @inline(__always)
  private func isEqual(_ word: UnsafeBufferPointer<UInt8>, at start: Int) -> Bool {
    for index in 0..<word.count where bytes[start + index] != word[index] { return false }
    return true
  }

  mutating func insert(_ word: UnsafeBufferPointer<UInt8>, _ tokens: [Int32]) {
    guard word.count <= Self.longest, entries.count < Self.most else { return }
    if entries.count * 2 >= table.count {
      table = [Int32](repeating: 0, count: table.count * 4)
      for (index, entry) in entries.enumerated() { place(index, hash: entry.hash) }
    }
    let hash = Vocabulary.hash(word)
    entries.append(
      Entry(
        hash: hash, start: Int32(bytes.count), count: Int32(word.count),
        firstID: Int32(ids.count), idCount: Int32(tokens.count)))
    bytes += word
    ids += tokens
    place(entries.count - 1, hash: hash)
  }

  private mutating func place(_ index: Int, hash: UInt64) {
    var slot = Int(truncatingIfNeeded: hash) & (table.count - 1)
    while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
    table[slot] = Int32(index) + 1
  }
}
