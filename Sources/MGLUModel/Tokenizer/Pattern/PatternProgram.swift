/// A pattern as instructions for ``PatternMatcher``.
struct PatternProgram: Sendable {
  enum Instruction: Sendable {
    case byte(UInt8)
    case set(Int)
    /// Scalars of one set, at least `min` and at most `max` of them.
    case run(set: Int, min: Int, max: Int, PatternNode.Repetition)
    /// Goes on with what follows and, should that fail, at `target`. Where the next scalar is not of
    /// the set, goes on at `target` at once.
    case fork(set: Int?, target: Int)
    /// Goes on at `target` and, should that fail, with what follows.
    case forkAway(target: Int)
    case jump(Int)
    /// What follows up to `end` must match here, or must not; `behind` scalars before, if any.
    case look(behind: Int?, negative: Bool, end: Int)
    case atomic(end: Int)
    case anchor(PatternNode.Anchor)
    /// Remembers the place in a register.
    case mark(Int)
    /// Goes on at `target` where the place is still that of the register.
    case leaveWithoutProgress(Int, target: Int)
    case succeed
  }

  private(set) var instructions: [Instruction] = []
  private(set) var sets: [ScalarSet] = []
  private(set) var registerCount = 0
  /// The scalars that a match begins with, or `nil` where it may be empty.
  let first: ScalarSet?

  private static let mostInstructions = 20_000

  init(_ node: PatternNode) throws(PatternParser.Problem) {
    first = node.first.map(ScalarSet.init)
    try add(node)
    try emit(.succeed)
  }

  private mutating func emit(_ instruction: Instruction) throws(PatternParser.Problem) {
    guard instructions.count < Self.mostInstructions else {
      throw PatternParser.Problem(reason: "more than \(Self.mostInstructions) steps")
    }
    instructions.append(instruction)
  }

  private mutating func add(_ set: ScalarSetExpression) -> Int {
    sets.append(ScalarSet(set))
    return sets.count - 1
  }

  /// Emits a place holder; returns where it stands.
  private mutating func reserve() throws(PatternParser.Problem) -> Int {
    try emit(.succeed)
    return instructions.count - 1
  }

  private mutating func add(_ node: PatternNode) throws(PatternParser.Problem) {
    switch node {
    case .empty: break
    case .scalar(.ranges(let ranges)) where ranges.isASCIIScalar:
      try emit(.byte(UInt8(truncatingIfNeeded: ranges[0].lowerBound)))
    case .scalar(let set): try emit(.set(add(set)))
    case .sequence(let parts): for part in parts { try add(part) }
    case .alternatives(let parts): try addAlternatives(parts)
    case .repeated(.scalar(let set), let min, let max, let kind):
      try emit(.run(set: add(set), min: min, max: max, kind))
    case .repeated(let part, let min, let max, .possessive):
      try addAtomic(.repeated(part, min: min, max: max, .greedy))
    case .repeated(let part, let min, let max, let kind):
      try addRepeated(part, min: min, max: max, isLazy: kind == .lazy)
    case .atomic(let part): try addAtomic(part)
    case .look(let part, let behind, let negative):
      let start = try reserve()
      try add(part)
      try emit(.succeed)
      instructions[start] = .look(
        behind: behind ? part.width : nil, negative: negative, end: instructions.count)
    case .anchor(let anchor): try emit(.anchor(anchor))
    }
  }

  private mutating func addAlternatives(
    _ parts: [PatternNode]
  ) throws(PatternParser.Problem) {
    var jumps: [Int] = []
    for part in parts.dropLast() {
      let fork = try reserve()
      let set = part.first.map { add($0) }
      try add(part)
      jumps.append(try reserve())
      instructions[fork] = .fork(set: set, target: instructions.count)
    }
    if let last = parts.last { try add(last) }
    for jump in jumps { instructions[jump] = .jump(instructions.count) }
  }

  private mutating func addAtomic(_ part: PatternNode) throws(PatternParser.Problem) {
    let start = try reserve()
    try add(part)
    try emit(.succeed)
    instructions[start] = .atomic(end: instructions.count)
  }

  private mutating func addRepeated(
    _ part: PatternNode, min: Int, max: Int, isLazy: Bool
  ) throws(PatternParser.Problem) {
    for _ in 0..<min {
      let before = instructions.count
      try add(part)
      if instructions.count == before { break }
    }
    if max == .max {
      let fork = try reserve()
      let register = part.isNullable ? registerCount : nil
      if let register {
        registerCount += 1
        try emit(.mark(register))
      }
      try add(part)
      let check = try register.map { _ throws(PatternParser.Problem) in try reserve() }
      try emit(.jump(fork))
      let end = instructions.count
      instructions[fork] = isLazy ? .forkAway(target: end) : .fork(set: nil, target: end)
      if let register, let check {
        instructions[check] = .leaveWithoutProgress(register, target: end)
      }
      return
    }
    var forks: [Int] = []
    for _ in min..<max {
      let fork = try reserve()
      try add(part)
      if instructions.count == fork + 1 {
        instructions.removeLast()
        break
      }
      forks.append(fork)
    }
    let end = instructions.count
    for fork in forks {
      instructions[fork] = isLazy ? .forkAway(target: end) : .fork(set: nil, target: end)
    }
  }
}

extension [ClosedRange<UInt32>] {
  fileprivate var isASCIIScalar: Bool {
    count == 1 && self[0].lowerBound == self[0].upperBound && self[0].lowerBound < 0x80
  }
}
