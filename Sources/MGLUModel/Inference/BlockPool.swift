/// Which blocks of a KV cache are used, and which hold what prompts begin with.
///
/// A block that holds tokens of a prompt is found again by these tokens and by all before them: its
/// ``Prefix`` names the one before it, so that blocks of different texts are never taken for each other.
/// Such a block stays when no sequence uses it, until its place is needed; the one used longest ago goes
/// first. Block 0 is not part of the pool.
package struct BlockPool {
  /// A full block of a prompt, and with it all tokens up to its end; ``none`` is the beginning.
  package struct Prefix: Hashable {
    fileprivate let number: Int
    package static let none = Prefix(number: 0)
  }

  private struct Key: Hashable {
    let before: Prefix
    let tokens: [Int32]
  }

  /// What is known of a block that was used.
  private struct Block {
    init(users: Int32 = 0) { self.users = users }

    var users: Int32
    var key: Key?
    /// Its neighbors in the list of blocks that are kept though unused: 0 stands for both ends.
    var (older, newer): (Int32, Int32) = (0, 0)
  }

  /// How many blocks there are.
  package let count: Int
  private var blocks = [Block()]
  /// Blocks that were used and hold nothing.
  private var empty: [Int32] = []
  private var kept = 0
  private var found: [Key: (block: Int32, prefix: Prefix)] = [:]
  private var lastPrefix = 0

  /// A pool of the blocks 1 to `count`.
  package init(count: Int) { self.count = count }

  /// How many blocks can be taken.
  package var availableCount: Int { count + 1 - blocks.count + empty.count + kept }
  /// How many blocks sequences use.
  package var usedCount: Int { count - availableCount }

  /// Whether no sequence uses a block.
  package func isUnused(_ block: Int32) -> Bool { blocks[Int(block)].users == 0 }

  /// A block for one sequence, or `nil` where all are used.
  package mutating func take() -> Int32? {
    if let block = empty.popLast() {
      blocks[Int(block)].users = 1
      return block
    }
    if blocks.count <= count {
      blocks.append(Block(users: 1))
      return Int32(blocks.count - 1)
    }
    let oldest = blocks[0].newer
    guard oldest != 0 else { return nil }
    unlink(oldest)
    if let key = blocks[Int(oldest)].key { found[key] = nil }
    blocks[Int(oldest)] = Block(users: 1)
    return oldest
  }

  /// Adds a user to a block.
  package mutating func retain(_ block: Int32) {
    if isUnused(block) { unlink(block) }
    blocks[Int(block)].users += 1
  }

  /// Removes a user from a block.
  package mutating func release(_ block: Int32) {
    blocks[Int(block)].users -= 1
    guard isUnused(block) else { return }
    if blocks[Int(block)].key == nil { empty.append(block) } else { link(block) }
  }

  /// The block that holds `tokens` after `prefix`, if there is one.
  package func block(
    of tokens: ArraySlice<Int32>, after prefix: Prefix
  ) -> (block: Int32, prefix: Prefix)? {
    found.isEmpty ? nil : found[Key(before: prefix, tokens: Array(tokens))]
  }

  /// Lets a used block be found as the one that holds `tokens` after `prefix`, unless another is.
  package mutating func keep(
    _ block: Int32, of tokens: ArraySlice<Int32>, after prefix: Prefix
  ) -> Prefix {
    let key = Key(before: prefix, tokens: Array(tokens))
    if let known = found[key] { return known.prefix }
    lastPrefix += 1
    let prefix = Prefix(number: lastPrefix)
    found[key] = (block, prefix)
    blocks[Int(block)].key = key
    return prefix
  }

  private mutating func link(_ block: Int32) {
    let newest = blocks[0].older
    blocks[Int(block)].older = newest
    blocks[Int(block)].newer = 0
    blocks[Int(newest)].newer = block
    blocks[0].older = block
    kept += 1
  }

  private mutating func unlink(_ block: Int32) {
    let (older, newer) = (blocks[Int(block)].older, blocks[Int(block)].newer)
    blocks[Int(older)].newer = newer
    blocks[Int(newer)].older = older
    kept -= 1
  }
}
