/// What turns the spellings of tokens back into text.
struct TokenDecoder: Sendable {
  private enum Step: Sendable {
    /// Characters of the byte alphabet to bytes.
    case byteLevel
    case replace(TextPattern, [UInt8])
    /// A replacement for spaces, which the first token of a text loses.
    case metaspace(TextPattern, dropsFirst: Bool)
  }

  private var steps: [Step]
  /// Whether tokens such as `<0x0A>` stand for a byte.
  private(set) var hasByteFallback = false
  /// A character that a text loses at its beginning, at most so many times.
  private(set) var strip: (content: [UInt8], count: Int)?

  static let byteLevel = TokenDecoder(steps: [.byteLevel])

  private init(steps: [Step]) { self.steps = steps }

  /// The decoder of a tokenizer.json; throws for a part that is not understood.
  ///
  /// - Parameter isByteLevel: Whether the vocabulary spells bytes, for files without a decoder.
  init(_ component: TokenizerFile.Component?, isByteLevel: Bool) throws(TokenizerError) {
    guard let component else {
      guard isByteLevel else { throw TokenizerFile.unsupported("a vocabulary without a decoder") }
      self = .byteLevel
      return
    }
    let parts = component.flattened(\.decoders)
    steps = []
    var isFused = false
    for part in parts {
      if strip != nil || isFused && part.type != "Strip" && part.type != "Fuse" {
        throw TokenizerFile.unsupported("the decoder \(part.type) after others")
      }
      switch part.type {
      case "ByteLevel":
        guard steps.isEmpty, !hasByteFallback else {
          throw TokenizerFile.unsupported("the decoder ByteLevel after others")
        }
        steps = [.byteLevel]
        isFused = true
      case "Replace" where !hasByteFallback:
        steps.append(.replace(try part.textPattern(), Array(try part.required(\.content).utf8)))
      case "Metaspace" where !hasByteFallback && steps.isEmpty:
        let replacement = try part.required(\.replacement)
        let pattern = try TokenizerFile.pattern { () throws(PatternParser.Problem) in
          try TextPattern(literal: replacement)
        }
        let prepends = part.addPrefixSpace ?? true && part.prependScheme != "never"
        steps.append(.metaspace(pattern, dropsFirst: prepends))
      case "ByteFallback": hasByteFallback = true
      case "Fuse": isFused = true
      case "Strip" where isFused && (part.stop ?? 0) == 0:
        let content = Array(try part.required(\.content).utf8)
        if let start = part.start, start > 0, !content.isEmpty { strip = (content, start) }
      default: throw TokenizerFile.unsupported("the decoder \(part.type) with these settings")
      }
    }
  }

  /// The bytes of a token by its spelling.
  ///
  /// - Parameter isFirst: Whether it begins a text.
  func bytes(
    spelledBy spelling: UnsafeBufferPointer<UInt8>, isFirst: Bool = false, budget: PatternBudget,
    into result: inout [UInt8]
  ) {
    if isByteLevel {
      return ByteAlphabet.append(bytesSpelledBy: spelling, to: &result)
    }
    var text = Array(spelling)
    for step in steps {
      switch step {
      case .byteLevel: break
      case .replace(let pattern, let content):
        text = pattern.replacing(in: text, with: content, budget)
      case .metaspace(let pattern, let dropsFirst):
        let content = isFirst && dropsFirst ? [] : [UInt8(ascii: " ")]
        text = pattern.replacing(in: text, with: content, budget)
      }
    }
    if hasByteFallback, let byte = BPEModel.byte(spelledBy: text) { text = [byte] }
    result += text
  }

  /// Whether spellings are of the byte alphabet.
  var isByteLevel: Bool { if case .byteLevel? = steps.first { true } else { false } }

  /// Whether the first token of a text has other bytes than later ones.
  var dropsFirst: Bool {
    steps.contains { if case .metaspace(_, true) = $0 { true } else { false } }
  }

  /// Text that tokens' bytes give.
  ///
  /// Bytes that are no UTF-8 are U+FFFD: with byte fallback one for each, otherwise one for each
  /// beginning of a character, as the `tokenizers` package has it.
  func text(of bytes: some Collection<UInt8>) -> String {
    if hasByteFallback, String(validating: bytes, as: UTF8.self) == nil {
      return String(repeating: "\u{fffd}", count: bytes.count)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// `text` without the characters at its beginning that are stripped, at most `count` of them, and
  /// how many may still be.
  func stripped(_ text: String, count: Int) -> (text: String, left: Int) {
    guard let content = strip?.content else { return (text, 0) }
    var (bytes, left) = (Array(text.utf8)[...], count)
    while left > 0, bytes.starts(with: content) {
      bytes = bytes.dropFirst(content.count)
      left -= 1
    }
    return (String(decoding: bytes, as: UTF8.self), bytes.isEmpty ? left : 0)
  }
}
