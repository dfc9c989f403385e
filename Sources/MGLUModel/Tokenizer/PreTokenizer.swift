/// Cuts text into words, within which byte pairs merge.
public struct PreTokenizer: Sendable {
  /// GPT-2's pattern:
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  public static let gpt2 = PreTokenizer(.byteLevel, [.split(.gpt2, .isolated, inverted: false)])
  /// The same after every digit has been cut off as a word of its own: SmolLM, StarCoder.
  public static let gpt2SingleDigits = PreTokenizer(
    .sequence([.digits(individual: true), .byteLevel]), [.splitSingleDigits])
  /// Llama 3's pattern, with numbers of up to three digits.
  public static let llama3 = PreTokenizer(
    .sequence([.split(WordScanner.llama3Pattern), .byteLevelWithoutPattern]),
    [.split(.llama3, .isolated, inverted: false)])
  /// The same pattern with single digits: Qwen 2 and 3.
  public static let qwen2 = PreTokenizer(
    .sequence([.split(WordScanner.qwen2Pattern), .byteLevelWithoutPattern]),
    [.split(.qwen2, .isolated, inverted: false)])

  /// Its form in a tokenizer.json.
  let component: TokenizerFile.Component?
  /// Whether words are bytes, which the vocabulary spells in the byte alphabet.
  let isByteLevel: Bool
  private let steps: [Step]

  enum Step: Sendable {
    case split(TextPattern, SplitBehavior, inverted: Bool)
    /// Digits on their own and then GPT-2's pattern, in one pass.
    case splitSingleDigits
    /// A space before text that begins with none.
    case prefixSpace
    case metaspace(Metaspace)
    /// Bytes to characters of the byte alphabet.
    case spell
  }

  /// Spaces as a visible character, with one before text.
  struct Metaspace: Sendable {
    enum Scheme: String { case first, never, always }

    let replacement: [UInt8]
    let scheme: Scheme
  }

  init(_ component: TokenizerFile.Component?, _ steps: [Step], isByteLevel: Bool = true) {
    self.component = component
    self.steps = steps
    self.isByteLevel = isByteLevel
  }

  /// Calls `body` with each word of valid UTF-8, in order; the bytes of a word are valid during the
  /// call only.
  ///
  /// - Parameters:
  ///   - startsText: Whether no text stands before `bytes`.
  ///   - budget: What is left for patterns.
  func forEachWord(
    _ bytes: UnsafeBufferPointer<UInt8>, startsText: Bool = true, budget: PatternBudget,
    _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    Self.cut(
      bytes, 0..<bytes.count, steps[...], startsText: startsText, budget: budget, body: body)
  }

  /// Takes a piece of the text through `steps`.
  private static func cut(
    _ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ steps: ArraySlice<Step>,
    startsText: Bool, budget: PatternBudget, body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    guard !range.isEmpty else { return }
    guard let step = steps.first else {
      return body(UnsafeBufferPointer(rebasing: bytes[range]))
    }
    let rest = steps.dropFirst()
    func go(on piece: Range<Int>) {
      cut(
        bytes, piece, rest, startsText: startsText && piece.lowerBound == range.lowerBound,
        budget: budget, body: body)
    }
    func go(on changed: [UInt8]) {
      changed.withUnsafeBufferPointer {
        cut($0, 0..<$0.count, rest, startsText: startsText, budget: budget, body: body)
      }
    }
    switch step {
    case .split(let pattern, .isolated, _) where rest.isEmpty:
      pattern.forEachStretch(of: bytes, in: range, budget: budget) { stretch, _ in
        if !stretch.isEmpty { body(UnsafeBufferPointer(rebasing: bytes[stretch])) }
      }
    case .split(let pattern, let behavior, let inverted):
      var joiner = SplitBehavior.Joiner(behavior)
      pattern.forEachStretch(of: bytes, in: range, budget: budget) { stretch, isMatch in
        joiner.add(stretch, isMatch: isMatch != inverted) { go(on: $0) }
      }
      joiner.finish { go(on: $0) }
    case .splitSingleDigits:
      var scanner = WordScanner(bytes: bytes, range: range)
      scanner.forEachWord({ $0.skipGPT2WordOrDigit() }) { go(on: $0) }
    case .prefixSpace:
      let space = UInt8(ascii: " ")
      if bytes[range.lowerBound] == space { go(on: range) } else { go(on: [space] + bytes[range]) }
    case .metaspace(let metaspace):
      go(on: metaspace.applied(to: bytes[range], startsText: startsText))
    case .spell: go(on: ByteAlphabet.spelled(bytes[range]))
    }
  }
}

extension PreTokenizer.Metaspace {
  fileprivate func applied(
    to text: Slice<UnsafeBufferPointer<UInt8>>, startsText: Bool
  ) -> [UInt8] {
    let space = UInt8(ascii: " ")
    var result: [UInt8] = []
    let isPrefixed =
      scheme == .always || scheme == .first && startsText
    if isPrefixed, text.first != space, !text.starts(with: replacement) { result += replacement }
    for byte in text { if byte == space { result += replacement } else { result.append(byte) } }
    return result
  }
}
