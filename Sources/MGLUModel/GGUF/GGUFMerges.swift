/// The merges that a vocabulary with scores implies, as transformers derives them: every way to make a
/// token of two others, the tokens of higher score first.
enum GGUFMerges {
  private struct Merge {
    let score: Double
    let left: (token: Substring.UnicodeScalarView, id: Int, count: Int)
    let right: (token: Substring.UnicodeScalarView, id: Int, count: Int)
  }

  /// The longest token, in characters, that is taken apart: longer ones are no words.
  private static let longest = 1 << 10

  static func pairs(
    _ vocabulary: GGUFVocabulary, scores: [Double]
  ) -> [(left: String, right: String)] {
    var ids: [Bytes: Int] = [:]
    ids.reserveCapacity(vocabulary.tokens.count)
    for (id, token) in vocabulary.tokens.enumerated() where vocabulary.kinds[id] != .unused {
      ids[Bytes(token)] = id
    }
    var merges: [Merge] = []
    for (id, token) in vocabulary.tokens.enumerated() where vocabulary.kinds[id] != .unused {
      let scalars = token.unicodeScalars
      let count = scalars.count
      guard count <= longest else { continue }
      var local: [Merge] = []
      for (index, position) in scalars.indices.enumerated().dropFirst() {
        let (left, right) = (token[..<position], token[position...])
        guard let leftID = ids[Bytes(left)], let rightID = ids[Bytes(right)] else { continue }
        local.append(
          Merge(
            score: scores[id], left: (left.unicodeScalars, leftID, index),
            right: (right.unicodeScalars, rightID, count - index)))
      }
      merges += local.sorted { ($0.left.id, $0.right.id) < ($1.left.id, $1.right.id) }
    }
    // Of equal score, the longer left part first, then the longer right part; else in order.
    let order = merges.indices.sorted { a, b in
      let (x, y) = (merges[a], merges[b])
      if x.score != y.score { return x.score > y.score }
      if x.left.count != y.left.count { return x.left.count > y.left.count }
      if x.right.count != y.right.count { return x.right.count > y.right.count }
      return a < b
    }
    return order.map { (String(merges[$0].left.token), String(merges[$0].right.token)) }
  }
}
