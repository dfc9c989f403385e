/// A step that changes text before it is cut into words.
enum Normalizer: Sendable {
  case form(NormalizationForm)
  case prepend([UInt8])
  case replace(TextPattern, [UInt8])
  case lowercase
  case strip(left: Bool, right: Bool)
  /// Bytes to characters of the byte alphabet.
  case spell

  /// The steps that a component of a tokenizer.json names; throws for one that is not understood.
  static func steps(_ component: TokenizerFile.Component?) throws(TokenizerError) -> [Normalizer] {
    var steps: [Normalizer] = []
    for part in component?.flattened(\.normalizers) ?? [] {
      if let form = NormalizationForm(rawValue: part.type) {
        steps.append(.form(form))
        continue
      }
      switch part.type {
      case "Prepend": steps.append(.prepend(Array(try part.required(\.prepend).utf8)))
      case "Replace":
        steps.append(.replace(try part.textPattern(), Array(try part.required(\.content).utf8)))
      case "Lowercase": steps.append(.lowercase)
      case "Strip":
        steps.append(.strip(left: part.stripLeft ?? false, right: part.stripRight ?? false))
      case "ByteLevel": steps.append(.spell)
      default: throw TokenizerFile.unsupported("the normalizer \(part.type)")
      }
    }
    return steps
  }

  /// Whether it may change `text`.
  func changes(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    if case .form = self { !text.allSatisfy { $0 < 0x80 } } else { true }
  }

  /// `text`, valid UTF-8, after this step.
  func apply(_ text: [UInt8], budget: PatternBudget) -> [UInt8] {
    switch self {
    case .form(let form): form.apply(text)
    case .prepend(let prefix): text.isEmpty ? text : prefix + text
    case .replace(let pattern, let content): pattern.replacing(in: text, with: content, budget)
    case .lowercase: Self.lowercased(text)
    case .strip(let left, let right): Self.stripped(text, left: left, right: right)
    case .spell: ByteAlphabet.spelled(text)
    }
  }

  private static func lowercased(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    text.withUnsafeBufferPointer { bytes in
      var index = 0
      while index < bytes.count {
        let (value, length) = bytes.scalar(at: index)
        if value < 0x80 {
          let isUpper = (0x41...0x5a).contains(value)
          result.append(UInt8(value) | (isUpper ? 0x20 : 0))
        } else if let scalar = Unicode.Scalar(value), scalar.properties.changesWhenLowercased {
          result += Array(scalar.properties.lowercaseMapping.utf8)
        } else {
          result += bytes[index..<index + length]
        }
        index += length
      }
    }
    return result
  }

  private static let space = ScalarSet(UnicodeProperty.space)

  private static func stripped(_ text: [UInt8], left: Bool, right: Bool) -> [UInt8] {
    text.withUnsafeBufferPointer { bytes in
      var (start, end) = (0, bytes.count)
      while left, start < end {
        let (value, length) = bytes.scalar(at: start)
        guard space.contains(value) else { break }
        start += length
      }
      while right, start < end {
        let last = bytes.scalarStart(before: end)
        guard space.contains(bytes.scalar(at: last).value) else { break }
        end = last
      }
      return Array(bytes[start..<end])
    }
  }
}

extension TextPattern {
  /// `text` with `content` in place of what matches.
  func replacing(in text: [UInt8], with content: [UInt8], _ budget: PatternBudget) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    text.withUnsafeBufferPointer { bytes in
      if bytes.isEmpty { return }
      forEachStretch(of: bytes, in: 0..<bytes.count, budget: budget) { stretch, isMatch in
        if isMatch { result += content } else { result += bytes[stretch] }
      }
    }
    return result
  }
}
