/// The merges that a vocabulary with scores implies, as transformers derives them: every way to make a
/// token of two others, the tokens of higher score first.
enum GGUFMerges {
  private struct Merge {
    let score: Double
    /// Ids and lengths in characters of both parts.
    let left: (id: Int32, length: Int)
    let right: (id: Int32, length: Int)
  }

  /// The longest token, in bytes, that is taken apart: longer ones are no words.
  private static let longest = 1 << 10

  static func pairs(
    _ vocabulary: Vocabulary, scores: [Double]
  ) -> [(left: String, right: String)] {
    var merges: [Merge] = []
    for id in 0..<Int32(clamping: min(vocabulary.upperBound, scores.count)) {
      let local = vocabulary.withText(of: id) { splits(of: $0, scores[Int(id)], vocabulary) }
      merges += (local ?? []).sorted { ($0.left.id, $0.right.id) < ($1.left.id, $1.right.id) }
    }
    // Of equal score, the longer left part first, then the longer right part; else in order.
    let order = merges.indices.sorted { a, b in
      let (x, y) = (merges[a], merges[b])
      if x.score != y.score { return x.score > y.score }
      if x.left.length != y.left.length { return x.left.length > y.left.length }
      if x.right.length != y.right.length { return x.right.length > y.right.length }
      return a < b
    }
    func text(_ id: Int32) -> String {
      String(decoding: vocabulary.text(of: id) ?? [], as: UTF8.self)
    }
    return order.map { (text(merges[$0].left.id), text(merges[$0].right.id)) }
  }

  /// The ways to make `token` of two others.
  private static func splits(
    of token: UnsafeBufferPointer<UInt8>, _ score: Double, _ vocabulary: Vocabulary
  ) -> [Merge] {
    guard token.count <= longest else { return [] }
    // Where characters begin.
    let starts = token.indices.filter { token[$0] & 0xc0 != 0x80 }
    return starts.enumerated().dropFirst().compactMap { length, start in
      guard let left = vocabulary.id(of: UnsafeBufferPointer(rebasing: token[..<start])),
        let right = vocabulary.id(of: UnsafeBufferPointer(rebasing: token[start...]))
      else { return nil }
      return Merge(score: score, left: (left, length), right: (right, starts.count - length))
    }
  }
}
