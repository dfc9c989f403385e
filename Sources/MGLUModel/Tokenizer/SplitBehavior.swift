/// What becomes of the stretches that a pattern matches.
enum SplitBehavior: String, Sendable {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"

  /// Joins stretches to pieces as the behavior wants it.
  struct Joiner {
    let behavior: SplitBehavior
    private var pending: Range<Int>?
    private var wasMatch = false

    init(_ behavior: SplitBehavior) { self.behavior = behavior }

    /// Calls `body` with the pieces that end where `stretch` begins or ends.
    @inline(__always)
    mutating func add(_ stretch: Range<Int>, isMatch: Bool, _ body: (Range<Int>) -> Void) {
      let joins =
        switch behavior {
        case .isolated, .removed: false
        case .contiguous: isMatch == wasMatch
        case .mergedWithPrevious: isMatch && !wasMatch
        case .mergedWithNext: !isMatch && wasMatch
        }
      wasMatch = isMatch
      switch behavior {
      case .isolated: if !stretch.isEmpty { body(stretch) }
      case .removed: if !isMatch { body(stretch) }
      default:
        if joins, let held = pending {
          pending = held.lowerBound..<stretch.upperBound
        } else {
          finish(body)
          pending = stretch
        }
      }
    }

    /// Calls `body` with the piece that is held, if any.
    mutating func finish(_ body: (Range<Int>) -> Void) {
      if let pending, !pending.isEmpty { body(pending) }
      pending = nil
    }
  }
}
