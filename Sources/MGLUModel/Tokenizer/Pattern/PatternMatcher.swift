/// Runs a ``PatternProgram`` over valid UTF-8, with backtracking.
///
/// The steps of all matches in a text have a bound, so that no text and no pattern can hang; once it
/// is reached nothing matches any more. It is far from what patterns of tokenizers take.
struct PatternMatcher {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let range: Range<Int>
  private let program: UnsafeBufferPointer<PatternProgram.Instruction>
  private let sets: UnsafeBufferPointer<ScalarSet>
  private var registers: [Int]
  private var stack: [Frame] = []
  /// The steps that are left.
  private(set) var steps: Int

  private static let mostFrames = 1 << 20

  /// Sees the scalars of `range`, as if there were no others.
  init(
    bytes: UnsafeBufferPointer<UInt8>, range: Range<Int>,
    program: UnsafeBufferPointer<PatternProgram.Instruction>,
    sets: UnsafeBufferPointer<ScalarSet>, registerCount: Int, steps: Int
  ) {
    self.bytes = bytes
    self.range = range
    self.program = program
    self.sets = sets
    registers = [Int](repeating: 0, count: registerCount)
    self.steps = steps
  }

  /// Something to try when what was tried first has failed.
  private enum Frame {
    case resume(at: Int, position: Int)
    /// A greedy run that may give back scalars down to `least`.
    case shrink(next: Int, position: Int, least: Int)
    /// A lazy run that may take `left` scalars more.
    case grow(set: Int, next: Int, position: Int, left: Int)
    case restore(register: Int, value: Int)
  }

  /// The end of the match that begins at `start`, or `nil` where there is none.
  mutating func match(at start: Int, from first: Int = 0) -> Int? {
    let base = stack.count
    var (index, position) = (first, start)
    while true {
      steps -= 1
      if steps <= 0 || stack.count > Self.mostFrames {
        steps = 0
        stack.removeLast(stack.count - base)
        return nil
      }
      var matches = true
      switch program[index] {
      case .byte(let byte):
        matches = position < range.upperBound && bytes[position] == byte
        position += 1
        index += 1
      case .set(let set):
        let length = lengthOfScalar(at: position, in: set)
        matches = length > 0
        position += length
        index += 1
      case .run(let set, let min, let max, let kind):
        let (end, count) = run(of: set, from: position, most: kind == .lazy ? min : max)
        matches = count >= min
        index += 1
        guard matches else { break }
        switch kind {
        case .possessive: break
        case .greedy:
          if count > min {
            let least = skip(min, from: position)
            stack.append(.shrink(next: index, position: end, least: least))
          }
        case .lazy:
          if max > min {
            stack.append(.grow(set: set, next: index, position: end, left: max - min))
          }
        }
        position = end
      case .fork(let set, let target):
        if let set, lengthOfScalar(at: position, in: set) == 0 {
          index = target
        } else {
          stack.append(.resume(at: target, position: position))
          index += 1
        }
      case .forkAway(let target):
        stack.append(.resume(at: index + 1, position: position))
        index = target
      case .jump(let target): index = target
      case .look(let behind, let negative, let end):
        matches = looks(from: index + 1, at: position, behind: behind) != negative
        index = end
      case .atomic(let end):
        let found = match(at: position, from: index + 1)
        matches = found != nil
        position = found ?? position
        index = end
      case .anchor(let anchor):
        matches = holds(anchor, at: position)
        index += 1
      case .mark(let register):
        stack.append(.restore(register: register, value: registers[register]))
        registers[register] = position
        index += 1
      case .leaveWithoutProgress(let register, let target):
        index = registers[register] == position ? target : index + 1
      case .succeed:
        stack.removeLast(stack.count - base)
        return position
      }
      if matches { continue }
      guard let (next, place) = backtrack(to: base) else { return nil }
      (index, position) = (next, place)
    }
  }

  /// The next instruction and place to try.
  private mutating func backtrack(to base: Int) -> (index: Int, position: Int)? {
    while stack.count > base {
      switch stack.removeLast() {
      case .resume(let index, let position): return (index, position)
      case .shrink(let next, let position, let least):
        let shorter = bytes.scalarStart(before: position)
        if shorter > least {
          stack.append(.shrink(next: next, position: shorter, least: least))
        }
        return (next, shorter)
      case .grow(let set, let next, let position, let left):
        let length = lengthOfScalar(at: position, in: set)
        if length == 0 { continue }
        if left > 1 {
          stack.append(.grow(set: set, next: next, position: position + length, left: left - 1))
        }
        return (next, position + length)
      case .restore(let register, let value): registers[register] = value
      }
    }
    return nil
  }

  /// The length in bytes of the scalar at `position`, or 0 where there is none of the set.
  @inline(__always)
  private func lengthOfScalar(at position: Int, in set: Int) -> Int {
    guard position < range.upperBound else { return 0 }
    let byte = bytes[position]
    if byte < 0x80 { return sets[set].contains(ascii: byte) ? 1 : 0 }
    let (scalar, length) = bytes.scalar(at: position)
    return sets[set].contains(scalar) ? length : 0
  }

  /// The end and the number of up to `most` scalars of the set.
  @inline(__always)
  private mutating func run(of set: Int, from start: Int, most: Int) -> (end: Int, count: Int) {
    var (position, count) = (start, 0)
    while count < most {
      let length = lengthOfScalar(at: position, in: set)
      if length == 0 { break }
      position += length
      count += 1
    }
    steps -= count
    return (position, count)
  }

  private func skip(_ count: Int, from start: Int) -> Int {
    var position = start
    for _ in 0..<count { position += bytes.scalar(at: position).length }
    return position
  }

  private mutating func looks(from index: Int, at position: Int, behind: Int?) -> Bool {
    guard let behind else { return match(at: position, from: index) != nil }
    var start = position
    for _ in 0..<behind {
      guard start > range.lowerBound else { return false }
      start = bytes.scalarStart(before: start)
    }
    return match(at: start, from: index) != nil
  }

  private func holds(_ anchor: PatternNode.Anchor, at position: Int) -> Bool {
    let (isStart, isEnd) = (position == range.lowerBound, position == range.upperBound)
    func isLineBreak(_ index: Int) -> Bool { bytes[index] == UInt8(ascii: "\n") }
    switch anchor {
    case .textStart: return isStart
    case .textEnd: return isEnd
    case .textEndOrLastLineBreak:
      return isEnd || position == range.upperBound - 1 && isLineBreak(position)
    case .lineStart: return isStart || !isEnd && isLineBreak(position - 1)
    case .lineEnd: return isEnd || isLineBreak(position)
    case .wordBorder, .noWordBorder:
      let before =
        !isStart && Self.isWord(bytes.scalar(at: bytes.scalarStart(before: position)).value)
      let after = !isEnd && Self.isWord(bytes.scalar(at: position).value)
      return (before != after) == (anchor == .wordBorder)
    }
  }

  private static let word = ScalarSet(UnicodeProperty.patternWord)
  private static func isWord(_ scalar: UInt32) -> Bool { word.contains(scalar) }
}
