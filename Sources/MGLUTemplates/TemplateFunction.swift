import OrderedCollections

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Functions that every template has.
enum TemplateFunction: String, CaseIterable {
  case range
  case namespace
  case dict
  case cycler
  case joiner
  case lipsum
  /// Refuses the messages, with an error of the template.
  case refuse = "raise_exception"
  /// The time, as a format has it.
  case now = "strftime_now"
}

extension TemplateEvaluator {
  /// The most elements of a range, as in Jinja's sandbox.
  private static let longestRange = 100_000

  /// The result of `function`.
  func call(
    _ function: TemplateFunction, _ arguments: TemplateArguments
  ) throws(TemplateError) -> Value {
    switch function {
    case .range: return try range(arguments)
    case .dict: return try mapping(try entries(arguments, of: "dict"))
    case .namespace:
      let members = try entries(arguments, of: "namespace")
      for key in members.keys { if let name = key.value.text { try checkMember(name) } }
      return try namespace(members)
    case .cycler:
      guard !arguments.positional.isEmpty, arguments.named.isEmpty else {
        throw fault("cycler lacks its items")
      }
      return try object(Cycler(arguments.positional))
    case .joiner:
      let given = try bind(arguments, to: ["sep"], of: "joiner")
      return try object(Joiner(try given[0].or(text(", "))))
    case .lipsum: return try lipsum(arguments)
    case .refuse:
      let given = try bind(arguments, to: ["message"], required: 1, of: function.rawValue)
      throw TemplateError(.refused, try string(given[0] ?? .none))
    case .now:
      let given = try bind(arguments, to: ["format"], required: 1, of: function.rawValue)
      guard let format = given[0]?.text else { throw fault("strftime_now: expected a format") }
      return try text(Self.now(format))
    }
  }

  /// What Python's `dict` makes of its arguments.
  private func entries(
    _ arguments: TemplateArguments, of name: String
  ) throws(TemplateError) -> OrderedDictionary<MappingKey, Value> {
    guard arguments.positional.count < 2 else { throw fault("\(name) takes one mapping") }
    var entries: OrderedDictionary<MappingKey, Value> = [:]
    if case .mapping(let mapping)? = arguments.positional.first {
      entries = mapping.entries
    } else if let pairs = arguments.positional.first {
      guard pairs.isDefined else { throw fault(described(pairs)) }
      let pairs = try iterator(pairs)
      while let pair = try pairs.next() {
        let sides = try elements(of: pair)
        guard sides.count == 2 else { throw fault("\(name): expected pairs") }
        entries[try key(sides[0])] = sides[1]
        try require(elements: entries.count / 64)
      }
    }
    for (name, value) in arguments.named { entries[MappingKey(name, in: memory)] = value }
    return entries
  }

  private func range(_ arguments: TemplateArguments) throws(TemplateError) -> Value {
    var numbers: [Int] = []
    for value in arguments.positional {
      guard case .integer(let number)? = value.number else {
        throw fault("range: \(described(value)), expected an integer")
      }
      numbers.append(number)
    }
    guard arguments.named.isEmpty, (1...3).contains(numbers.count) else {
      throw fault("range: expected 1 to 3 integers")
    }
    let step = numbers.count == 3 ? numbers[2] : 1
    guard step != 0 else { throw fault("a range in steps of 0") }
    let (start, stop) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
    guard let range = RangeValue(start, stop, step), range.count <= Self.longestRange else {
      throw fault("a range of more than \(Self.longestRange) numbers", .limit)
    }
    return .range(range)
  }

  private static let words = [
    "a", "ac", "amet", "at", "aut", "cum", "diam", "dolor", "eget", "elit", "enim", "est", "et",
    "eu", "fusce", "id", "in", "ipsum", "justo", "lacus", "lorem", "magna", "metus", "nec", "non",
    "nulla", "odio", "orci", "purus", "quam", "sed", "sit", "tellus", "ut", "velit", "vitae",
  ]

  /// Paragraphs of random words, to see a layout with.
  private func lipsum(_ arguments: TemplateArguments) throws(TemplateError) -> Value {
    let given = try bind(arguments, to: ["n", "html", "min", "max"], of: "lipsum")
    let (count, isHTML) = (given[0]?.index ?? 5, given[1].map(\.isTrue) ?? true)
    let (least, most) = (given[2]?.index ?? 20, given[3]?.index ?? 100)
    guard least < most, least >= 0 else {
      throw fault("lipsum: no words between \(least) and \(most)")
    }
    var paragraphs: [String] = []
    for _ in 0..<max(0, count) {
      let length = Int.random(in: least..<most)
      try require(elements: length)
      var words: [String] = []
      for _ in 0..<length { words.append(Self.words.randomElement() ?? "") }
      try spend(length)
      let paragraph = words.joined(separator: " ").pythonCapitalized + "."
      paragraphs.append(isHTML ? "<p>\(paragraph)</p>" : paragraph)
      try require(elements: paragraphs.count)
    }
    return try text(
      try joined(paragraphs, by: isHTML ? "\n" : "\n\n"), isMarkup: isHTML)
  }

  private static func now(_ format: String) -> String {
    var seconds = time(nil)
    var parts = tm()
    localtime_r(&seconds, &parts)
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1024) { buffer in
      let count = strftime(buffer.baseAddress!, buffer.count, format, &parts)
      return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
  }
}
