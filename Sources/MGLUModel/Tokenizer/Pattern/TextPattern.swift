/// The steps that matches in a text may take together.
final class PatternBudget {
  fileprivate(set) var steps: Int

  /// That for a text of `count` bytes.
  init(for count: Int) { steps = 1 << 26 + 64 * count }
}

/// A pattern of a tokenizer: finds the stretches of a text that match.
///
/// The patterns of GPT-2, Llama 3 and Qwen 2 have scanners of their own; all others run through
/// ``PatternMatcher``. Swift's `Regex` has no bound on its steps, needs a `String`, is no `Sendable`
/// value, and takes a second for a megabyte.
struct TextPattern: Sendable {
  private enum Engine {
    case gpt2
    case llama3(digits: Int)
    case program(PatternProgram)
  }

  private let engine: Engine

  static let gpt2 = TextPattern(engine: .gpt2)

  static let llama3 = TextPattern(engine: .llama3(digits: 3))
  static let qwen2 = TextPattern(engine: .llama3(digits: 1))

  private init(engine: Engine) { self.engine = engine }

  /// The pattern in the syntax of Oniguruma.
  init(_ pattern: String) throws(PatternParser.Problem) {
    switch pattern {
    case WordScanner.gpt2Pattern: engine = .gpt2
    case WordScanner.llama3Pattern: engine = .llama3(digits: 3)
    case WordScanner.qwen2Pattern: engine = .llama3(digits: 1)
    default: engine = .program(try PatternProgram(try PatternParser.parse(pattern)))
    }
  }

  /// The pattern that matches one scalar of a set.
  init(_ set: ScalarSetExpression) throws(PatternParser.Problem) {
    engine = .program(try PatternProgram(.scalar(set)))
  }

  /// The pattern that matches a text.
  init(literal text: String) throws(PatternParser.Problem) {
    engine = .program(
      try PatternProgram(.sequence(text.unicodeScalars.map { .scalar(.scalar($0.value)) })))
  }

  /// Calls `body` with the stretches of `range` that match and with those between, in order.
  /// A match may be empty. Takes from `budget`; with nothing left nothing matches.
  func forEachStretch(
    of bytes: UnsafeBufferPointer<UInt8>, in range: Range<Int>, budget: PatternBudget,
    _ body: (_ stretch: Range<Int>, _ isMatch: Bool) -> Void
  ) {
    switch engine {
    case .gpt2:
      var scanner = WordScanner(bytes: bytes, range: range)
      scanner.forEachWord({ $0.skipGPT2Word() }) { body($0, true) }
    case .llama3(let digits):
      var scanner = WordScanner(bytes: bytes, range: range)
      scanner.forEachWord({ $0.skipLlama3Word(digits: digits) }) { body($0, true) }
    case .program(let program):
      program.instructions.withUnsafeBufferPointer { instructions in
        program.sets.withUnsafeBufferPointer { sets in
          var matcher = PatternMatcher(
            bytes: bytes, range: range, program: instructions, sets: sets,
            registerCount: program.registerCount, steps: budget.steps)
          let steps = budget.steps
          Self.search(with: &matcher, first: program.first, bytes, range, body)
          // `body` may have taken some too.
          budget.steps -= steps - matcher.steps
        }
      }
    }
  }

  private static func search(
    with matcher: inout PatternMatcher, first: ScalarSet?, _ bytes: UnsafeBufferPointer<UInt8>,
    _ range: Range<Int>, _ body: (Range<Int>, Bool) -> Void
  ) {
    var (position, last) = (range.lowerBound, range.lowerBound)
    var lastMatch: Int?
    while position <= range.upperBound {
      let isPossible =
        first.map {
          position < range.upperBound && $0.contains(bytes.scalar(at: position).value)
        } ?? true
      // An empty match right behind another one does not count.
      if isPossible, let end = matcher.match(at: position), end > position || end != lastMatch {
        if last < position { body(last..<position, false) }
        body(position..<end, true)
        (last, lastMatch, position) = (end, end, end)
      } else if position < range.upperBound {
        position += bytes.scalar(at: position).length
      } else {
        break
      }
    }
    if last < range.upperBound { body(last..<range.upperBound, false) }
  }
}
