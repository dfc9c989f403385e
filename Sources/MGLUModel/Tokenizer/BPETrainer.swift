import HeapModule

/// Learns byte-pair merges from text (Sennrich et al., 2016): the most frequent pair first, of
/// equal ones that with the lower ids, so that the same text always gives the same tokenizer.
public struct BPETrainer {
  private var wordCounts: [[UInt8]: Int] = [:]
  private let preTokenizer: PreTokenizer

  /// A trainer that has seen no text.
  public init(preTokenizer: PreTokenizer = .gpt2) { self.preTokenizer = preTokenizer }

  /// Counts the words of `text`.
  public mutating func add(_ text: String) {
    var text = text
    text.withUTF8 { add(utf8: $0) }
  }

  package mutating func add(utf8 bytes: UnsafeBufferPointer<UInt8>) {
    preTokenizer.forEachWord(bytes, budget: PatternBudget(for: bytes.count)) {
      wordCounts[Array($0), default: 0] += 1
    }
  }

  /// The tokenizer of `vocabularySize` tokens: 256 bytes, merges, then `specialTokens`.
  ///
  /// Merging stops early when no pair occurs twice any more; the vocabulary is smaller then.
  public func train(
    vocabularySize: Int, specialTokens: [String] = [Tokenizer.endOfText]
  ) throws(TokenizerError) -> Tokenizer {
    let least = 256 + specialTokens.count
    guard least <= vocabularySize, vocabularySize <= 1 << 24 else {
      throw TokenizerError(
        .vocabularySize,
        "a vocabulary of \(vocabularySize): expected "
          + "\(least) to \(1 << 24)")
    }
    let wanted = vocabularySize - least
    var state = MergeState(wordCounts)
    var tokens = (0..<256).map { [UInt8($0)] }
    var merges: [(left: Int32, right: Int32, id: Int32)] = []
    var ids = Dictionary(uniqueKeysWithValues: tokens.enumerated().map { ($1, Int32($0)) })
    while tokens.count < 256 + wanted, let pair = state.mostFrequentPair() {
      let bytes = tokens[Int(pair.left)] + tokens[Int(pair.right)]
      // Two pairs may make the same token.
      let id = ids[bytes] ?? Int32(tokens.count)
      if Int(id) == tokens.count { tokens.append(bytes) }
      ids[bytes] = id
      merges.append((pair.left, pair.right, id))
      state.merge(pair, into: id)
    }
    return Tokenizer(
      tokens: tokens, merges: merges, specialTokens: specialTokens, preTokenizer: preTokenizer)
  }
}

/// The distinct words as tokens, and how often each pair of neighbors occurs in all of them.
private struct MergeState {
  private var words: [[Int32]]
  private let counts: [Int]
  private var pairs: [TokenPair: Occurrences] = [:]
  private var queue = Heap<Entry>()

  private struct Occurrences {
    var count = 0
    /// Words that hold the pair, or once did.
    var words: Set<Int32> = []
  }

  private struct Entry: Comparable {
    let count: Int
    let pair: TokenPair
    static func < (a: Entry, b: Entry) -> Bool { (a.count, b.pair) < (b.count, a.pair) }
  }

  init(_ wordCounts: [[UInt8]: Int]) {
    let sorted = wordCounts.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    words = sorted.map { $0.key.map(Int32.init) }
    counts = sorted.map(\.value)
    for index in words.indices {
      for (left, right) in zip(words[index], words[index].dropFirst()) {
        change(TokenPair(left: left, right: right), by: counts[index], in: index)
      }
    }
    queue = Heap(pairs.map { Entry(count: $1.count, pair: $0) })
  }

  private mutating func change(_ pair: TokenPair, by count: Int, in word: Int) {
    pairs[pair, default: Occurrences()].count += count
    if count > 0 { pairs[pair]?.words.insert(Int32(word)) }
  }

  /// The most frequent pair that occurs at least twice. Entries of the queue whose count has
  /// fallen since are put back with the count of today.
  mutating func mostFrequentPair() -> TokenPair? {
    while let entry = queue.popMax() {
      let count = pairs[entry.pair]?.count ?? 0
      if count == entry.count { return count > 1 ? entry.pair : nil }
      if count > 1 { queue.insert(Entry(count: count, pair: entry.pair)) }
    }
    return nil
  }

  /// Replaces every occurrence of `pair` by `id`.
  mutating func merge(_ pair: TokenPair, into id: Int32) {
    guard let holders = pairs.removeValue(forKey: pair)?.words else { return }
    var grown: Set<TokenPair> = []
    for holder in holders.sorted() {
      let index = Int(holder)
      let (word, count) = (words[index], counts[index])
      var result: [Int32] = []
      result.reserveCapacity(word.count)
      var position = 0
      while position < word.count {
        guard position + 1 < word.count, word[position] == pair.left,
          word[position + 1] == pair.right
        else {
          result.append(word[position])
          position += 1
          continue
        }
        result.append(id)
        position += 2
      }
      guard result.count < word.count else { continue }
      for (left, right) in zip(word, word.dropFirst())
      where TokenPair(left: left, right: right) != pair {
        change(TokenPair(left: left, right: right), by: -count, in: index)
      }
      for (left, right) in zip(result, result.dropFirst()) {
        let made = TokenPair(left: left, right: right)
        change(made, by: count, in: index)
        if left == id || right == id { grown.insert(made) }
      }
      words[index] = result
    }
    for made in grown { queue.insert(Entry(count: pairs[made]?.count ?? 0, pair: made)) }
  }
}
