import MGLUServing
import Testing

@Suite struct StopSequencesTests {
  /// The text ends before the first stop sequence, however it is cut.
  @Test(arguments: 1...7)
  func stopSequencesAreFoundAcrossCuts(length: Int) {
    let text = "a\n\nUser says aab ✓✓ the end"
    for (stop, expected) in [
      ("\n\nUser:", text), ("aab", "a\n\nUser says "), ("✓✓ ", "a\n\nUser says aab "), ("", text),
      ("d", "a\n\nUser says aab ✓✓ the en"),
    ] {
      var stops = StopSequences([stop, "", "zz"])
      var (found, rest) = ("", Substring(text))
      while !rest.isEmpty {
        found += stops.append(String(rest.prefix(length)))
        rest = rest.dropFirst(length)
      }
      found += stops.finish()
      #expect(found == expected)
      #expect(stops.isFound == (expected != text))
    }
  }

  @Test func onlyPrefixesOfStopSequencesAreHeldBack() {
    var stops = StopSequences(["ab"])
    #expect(stops.append("xa") == "x")
    #expect(stops.append("a") == "a")
    #expect(stops.append("c") == "ac")
    #expect(stops.append("a") == "")
    #expect(stops.finish() == "a")
  }

  /// What stop sequences are, by their definition, in time that grows with the square of the text.
  private struct NaiveStops {
    let stops: [[UInt8]]
    var held: [UInt8] = []
    var isFound = false

    init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

    mutating func append(_ text: String) -> String {
      if isFound { return "" }
      held += text.utf8
      let start = held.indices.first { start in
        stops.contains { held[start...].starts(with: $0) }
      }
      if let start {
        isFound = true
        defer { held = [] }
        return String(decoding: held[..<start], as: UTF8.self)
      }
      let undecided = held.indices.first { start in
        stops.contains { $0.count > held.count - start && $0.starts(with: held[start...]) }
      }
      let end = undecided ?? held.count
      defer { held = Array(held[end...]) }
      return String(decoding: held[..<end], as: UTF8.self)
    }

    mutating func finish() -> String { String(decoding: held, as: UTF8.self) }
  }

  /// Texts and stop sequences of few characters, so that they overlap, lie in one another and share
  /// beginnings; each part of a text gives what the definition gives.
  @Test(arguments: 0..<40) func agreesWithTheDefinition(seed: UInt64) {
    var random = Philox(seed: seed, purpose: .synthetic)
    func number(_ range: Range<Int>) -> Int {
      range.lowerBound + Int(random.nextUniform() * Float(range.count)) % range.count
    }
    // Characters of one, two and three bytes; the last two share their first byte.
    let alphabet = Array(["ab", "abc", "aé✓", "✓★", "é✓★a"][number(0..<5)])
    func text(_ length: Int) -> String {
      String((0..<length).map { _ in alphabet[number(0..<alphabet.count)] })
    }
    var found = 0
    for _ in 0..<200 {
      let stops = (0..<number(1..<6)).map { _ in text(number(0..<9)) }
      var (fast, naive) = (StopSequences(stops), NaiveStops(stops))
      for part in 0..<number(1..<20) {
        let next = text(number(0..<6))
        let (own, expected) = (fast.append(next), naive.append(next))
        #expect(own == expected, "\(stops), part \(part)")
        #expect(fast.isFound == naive.isFound, "\(stops), part \(part)")
      }
      #expect(fast.finish() == naive.finish())
      found += fast.isFound ? 1 : 0
    }
    #expect((20...199).contains(found))
  }

  /// Held text as long as the whole stop sequence, byte after byte, of a long text. Searching anew for each
  /// byte would take a hundred thousand million comparisons.
  @Test func longStopSequencesTakeNoLonger() {
    let length = 1 << 15
    let beginning = String(repeating: "a", count: length)
    var stops = StopSequences([beginning + "b", String(beginning.dropLast()) + "c"])
    var count = 0
    for _ in 0..<4 * length { count += stops.append("a").utf8.count }
    #expect(count == 3 * length && !stops.isFound)
    #expect(stops.append("b") == "" && stops.isFound)
    #expect(stops.finish() == "")
  }
}
