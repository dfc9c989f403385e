/// Two neighboring tokens.
struct TokenPair: Hashable, Comparable {
  let left: Int32
  let right: Int32

  static func < (a: TokenPair, b: TokenPair) -> Bool { (a.left, a.right) < (b.left, b.right) }
}
