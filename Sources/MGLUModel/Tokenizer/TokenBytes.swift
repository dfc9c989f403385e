/// What each token is as text.
struct TokenBytes: Sendable {
  private var storage: [UInt8] = []
  /// Where the bytes of each id begin; those of the next id end them.
  private var starts: [UInt32] = [0]
  private var isToken: [Bool] = []
  private var added: [Int32: [UInt8]] = [:]

  /// The bytes of a vocabulary and of added tokens. An added token of a byte-level vocabulary is its
  /// content, which is not spelled in the byte alphabet.
  init(_ vocabulary: Vocabulary, _ addedTokens: [Tokenizer.AddedToken], _ decoder: TokenDecoder) {
    added = Dictionary(
      addedTokens.map { ($0.id, Array($0.content.utf8)) }, uniquingKeysWith: { first, _ in first })
    let highest = max(vocabulary.upperBound - 1, Int(addedTokens.map(\.id).max() ?? -1))
    let budget = PatternBudget(for: 1 << 20)
    starts.reserveCapacity(highest + 2)
    isToken.reserveCapacity(highest + 1)
    for id in 0..<Int32(highest + 1) {
      if let content = added[id] {
        if decoder.isByteLevel {
          storage += content
        } else {
          content.withUnsafeBufferPointer {
            decoder.bytes(spelledBy: $0, budget: budget, into: &storage)
          }
        }
        isToken.append(true)
      } else {
        let found: Void? = vocabulary.withText(of: id) {
          decoder.bytes(spelledBy: $0, budget: budget, into: &storage)
        }
        isToken.append(found != nil)
      }
      starts.append(UInt32(clamping: storage.count))
    }
  }

  /// One more than the highest id.
  var count: Int { isToken.count }

  /// The bytes of `id`, or `nil` where there is no such token.
  subscript(id: Int32) -> [UInt8]? {
    guard id >= 0, Int(id) < count, isToken[Int(id)] else { return nil }
    return Array(storage[Int(starts[Int(id)])..<Int(starts[Int(id) + 1])])
  }

  /// The spelling of `id`.
  func spelling(of id: Int32, _ vocabulary: Vocabulary) -> [UInt8]? {
    added[id] ?? vocabulary.text(of: id)
  }
}
