extension PreTokenizer {
  /// The pre-tokenizer of a tokenizer.json; throws for a part that is not understood.
  init(_ component: TokenizerFile.Component?) throws(TokenizerError) {
    let parts = component?.flattened(\.preTokenizers) ?? []
    if parts.count == 2, parts[0].type == "Digits", parts[0].individualDigits == true,
      parts[1].type == "ByteLevel", parts[1].addPrefixSpace == false, parts[1].useRegex ?? true
    {
      self = .gpt2SingleDigits
      return
    }
    var steps: [Step] = []
    for (index, part) in parts.enumerated() {
      steps += try Self.steps(part, isLast: index == parts.count - 1)
    }
    self.init(component, steps, isByteLevel: parts.last?.type == "ByteLevel")
  }

  private static func steps(
    _ part: TokenizerFile.Component, isLast: Bool
  ) throws(TokenizerError) -> [Step] {
    switch part.type {
    case "ByteLevel":
      var steps: [Step] = part.addPrefixSpace ?? true ? [.prefixSpace] : []
      if part.useRegex ?? true { steps.append(.split(.gpt2, .isolated, inverted: false)) }
      return isLast ? steps : steps + [.spell]
    case "Split":
      return [
        .split(
          try part.textPattern(), try part.splitBehavior(default: nil),
          inverted: part.invert ?? false)
      ]
    case "Digits":
      return [
        try split(
          .kinds(ScalarKind.numbers), part.individualDigits ?? false ? .isolated : .contiguous)
      ]
    case "Punctuation":
      let punctuation = UnicodeTables.shared.scripts["punctuation"] ?? []
      return [try split(.ranges(punctuation), try part.splitBehavior(default: .isolated))]
    case "Whitespace":
      // As `\w+|[^\w\s]+` keeps them, with joiners as a part of words.
      let word = ScalarSetExpression.union([UnicodeProperty.word, .ranges([0x200c...0x200d])])
      return [try split(UnicodeProperty.space, .removed), try split(word, .contiguous)]
    case "WhitespaceSplit": return [try split(UnicodeProperty.space, .removed)]
    case "Metaspace": return try metaspace(part)
    default: throw TokenizerFile.unsupported("the pre-tokenizer \(part.type)")
    }
  }

  private static func split(
    _ set: ScalarSetExpression, _ behavior: SplitBehavior
  ) throws(TokenizerError) -> Step {
    let pattern = try TokenizerFile.pattern { () throws(PatternParser.Problem) in
      try TextPattern(set)
    }
    return .split(pattern, behavior, inverted: false)
  }

  private static func metaspace(_ part: TokenizerFile.Component) throws(TokenizerError) -> [Step] {
    let replacement = try part.required(\.replacement)
    let name = part.addPrefixSpace == false ? "never" : part.prependScheme ?? "always"
    guard let scheme = Metaspace.Scheme(rawValue: name) else {
      throw TokenizerFile.unsupported("the prepend_scheme \(name)")
    }
    let metaspace = Metaspace(replacement: Array(replacement.utf8), scheme: scheme)
    guard part.split ?? true else { return [.metaspace(metaspace)] }
    let pattern = try TokenizerFile.pattern { () throws(PatternParser.Problem) in
      try TextPattern(literal: replacement)
    }
    return [.metaspace(metaspace), .split(pattern, .mergedWithNext, inverted: false)]
  }
}
