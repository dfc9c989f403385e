import MGLUModel
import Testing

/// The blocks of a KV cache: who has them, and what is found in them.
@Suite struct BlockPoolTests {
  private static func tokens(_ first: Int32) -> ArraySlice<Int32> { [first, 2, 3, 4][...] }

  @Test func everyBlockIsTakenOnce() throws {
    var pool = BlockPool(count: 3)
    let taken = (0..<3).compactMap { _ in pool.take() }
    #expect(Set(taken) == [1, 2, 3])
    #expect(pool.take() == nil)
    #expect(pool.usedCount == 3)
    pool.release(taken[1])
    #expect(pool.availableCount == 1)
    #expect(pool.take() == taken[1])
  }

  /// A block is found by its tokens and by all before them, and by nothing else.
  @Test func blocksAreFoundByAllThatLiesBefore() throws {
    var pool = BlockPool(count: 4)
    let blocks = (0..<3).compactMap { _ in pool.take() }
    let first = pool.keep(blocks[0], of: Self.tokens(1), after: .none)
    let second = pool.keep(blocks[1], of: Self.tokens(5), after: first)
    let other = pool.keep(blocks[2], of: Self.tokens(7), after: .none)
    #expect(pool.block(of: Self.tokens(1), after: .none)?.block == blocks[0])
    #expect(pool.block(of: Self.tokens(5), after: first)?.block == blocks[1])
    #expect(pool.block(of: Self.tokens(5), after: other) == nil)
    #expect(pool.block(of: Self.tokens(5), after: .none) == nil)
    #expect(pool.block(of: Self.tokens(1), after: second) == nil)
    // The same again is known as the first.
    let taken = pool.take()
    let copy = try #require(taken)
    #expect(pool.keep(copy, of: Self.tokens(1), after: .none) == first)
    #expect(pool.block(of: Self.tokens(1), after: .none)?.block == blocks[0])
  }

  /// What was used longest ago goes first, and only where nothing else is free.
  @Test func unusedBlocksGoInTheOrderOfTheirLastUse() throws {
    var pool = BlockPool(count: 4)
    let blocks = (0..<3).compactMap { _ in pool.take() }
    for (index, block) in blocks.enumerated() {
      _ = pool.keep(block, of: Self.tokens(Int32(index)), after: .none)
    }
    for block in [blocks[1], blocks[0], blocks[2]] { pool.release(block) }
    #expect(pool.availableCount == 4)
    // Used once more, as a sequence does that finds it.
    pool.retain(blocks[1])
    pool.retain(blocks[1])
    pool.release(blocks[1])
    #expect(pool.availableCount == 3)
    pool.release(blocks[1])
    func isKnown(_ index: Int32) -> Bool {
      pool.block(of: Self.tokens(index), after: .none) != nil
    }
    #expect(pool.take() == 4)
    #expect((0..<3).allSatisfy(isKnown))
    for (taken, known) in [(blocks[0], [1, 2]), (blocks[2], [1]), (blocks[1], [Int32]())] {
      #expect(pool.take() == taken)
      #expect((0..<3).filter(isKnown) == known)
    }
    #expect(pool.take() == nil)
  }
}
