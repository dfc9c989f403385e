/// The merges of a tokenizer by the pairs that they join.
struct MergeTable: Sendable {
  /// The token that a merge of two makes, and the rank of the merge.
  struct Merge: Equatable {
    let rank: Int32
    let id: Int32
  }

  private struct Entry {
    var pair: UInt64 = .max
    var merge = Merge(rank: 0, id: 0)
  }

  private var entries: [Entry]
  private(set) var count = 0

  /// An empty table with room for `count` merges.
  init(capacity count: Int = 0) {
    var size = 16
    while size < count * 2 { size *= 2 }
    entries = [Entry](repeating: Entry(), count: size)
  }

  var isEmpty: Bool { count == 0 }

  /// Adds a merge; a pair that has one already keeps it.
  mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
    if (count + 1) * 2 > entries.count {
      var larger = MergeTable(capacity: (count + 1) * 2)
      for entry in entries where entry.pair != .max {
        larger.entries[larger.slot(entry.pair)] = entry
      }
      larger.count = count
      self = larger
    }
    let pair = Self.pair(left, right)
    let slot = slot(pair)
    guard entries[slot].pair == .max else { return }
    entries[slot] = Entry(pair: pair, merge: merge)
    count += 1
  }

  /// The merge of two tokens.
  @inline(__always)
  subscript(left: Int32, right: Int32) -> Merge? {
    let entry = entries[slot(Self.pair(left, right))]
    return entry.pair == .max ? nil : entry.merge
  }

  /// All pairs, in the order of their ranks.
  var ranked: [(left: Int32, right: Int32)] {
    entries.filter { $0.pair != .max }.sorted { $0.merge.rank < $1.merge.rank }.map {
      (Int32(truncatingIfNeeded: $0.pair >> 32), Int32(truncatingIfNeeded: $0.pair))
    }
  }

  @inline(__always)
  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  @inline(__always)
  private func slot(_ pair: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: Vocabulary.mix(pair)) & (entries.count - 1)
    while entries[slot].pair != pair, entries[slot].pair != .max {
      slot = (slot + 1) & (entries.count - 1)
    }
    return slot
  }
}
