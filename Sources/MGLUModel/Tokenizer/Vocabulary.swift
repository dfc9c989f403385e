/// Texts with numbers, to be found by either: the spellings of tokens with their ids.
struct Vocabulary: Sendable {
  private var storage: [UInt8] = []
  private var spans: [Span] = []
  /// Ids plus one by the hash of their text; 0 is free. Its size is a power of two.
  private var table: [Int32] = []
  private(set) var count = 0

  private struct Span {
    var start: UInt32 = 0
    var count: UInt32 = .max
  }

  /// One more than the highest id there may be.
  static let limit: Int32 = 1 << 24
  private static let seed = UInt64.random(in: .min ... .max) | 1

  /// An empty one with room for `count` texts.
  init(capacity count: Int = 0) { grow(to: count) }

  /// One more than the highest id.
  var upperBound: Int { spans.count }

  private mutating func grow(to count: Int) {
    var size = 16
    while size < count * 2 { size *= 2 }
    guard size > table.count else { return }
    table = [Int32](repeating: 0, count: size)
    for (id, span) in spans.enumerated() where span.count != .max {
      let slot = storage.withUnsafeBufferPointer { freeSlot(of: Self.text(span, $0)) }
      table[slot] = Int32(id) + 1
    }
  }

  /// Makes room for ids below `bound`.
  private mutating func extend(to bound: Int) {
    while spans.count < bound { spans.append(Span()) }
  }

  /// Gives `text` the number `id`. A text that has one already changes it.
  ///
  /// - Returns: Whether `id` is from 0 to the limit and no other text has it.
  mutating func insert(_ text: UnsafeBufferPointer<UInt8>, id: Int32) -> Bool {
    guard id >= 0, id < Self.limit, storage.count + text.count < Int(UInt32.max) else {
      return false
    }
    extend(to: Int(id) + 1)
    if let old = self.id(of: text) {
      if old == id { return true }
      guard spans[Int(id)].count == .max else { return false }
      spans[Int(id)] = spans[Int(old)]
      spans[Int(old)] = Span()
      table[slot(of: text)] = id + 1
      return true
    }
    guard spans[Int(id)].count == .max else { return false }
    if (count + 1) * 2 > table.count { grow(to: (count + 1) * 2) }
    spans[Int(id)] = Span(start: UInt32(storage.count), count: UInt32(text.count))
    storage += text
    table[freeSlot(of: text)] = id + 1
    count += 1
    return true
  }

  mutating func insert(_ text: [UInt8], id: Int32) -> Bool {
    text.withUnsafeBufferPointer { insert($0, id: id) }
  }

  /// The id of `text`.
  func id(of text: UnsafeBufferPointer<UInt8>) -> Int32? {
    let found = table[slot(of: text)]
    return found == 0 ? nil : found - 1
  }

  func id(of text: [UInt8]) -> Int32? { text.withUnsafeBufferPointer { id(of: $0) } }

  /// Calls `body` with the text of `id`.
  func withText<T>(of id: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> T) -> T? {
    guard id >= 0, Int(id) < spans.count, spans[Int(id)].count != .max else { return nil }
    return storage.withUnsafeBufferPointer { body(Self.text(spans[Int(id)], $0)) }
  }

  /// The text of `id`.
  func text(of id: Int32) -> [UInt8]? { withText(of: id) { Array($0) } }

  private static func text(
    _ span: Span, _ storage: UnsafeBufferPointer<UInt8>
  ) -> UnsafeBufferPointer<UInt8> {
    let start = Int(span.start)
    return UnsafeBufferPointer(rebasing: storage[start..<start + Int(span.count)])
  }

  /// Where `text` stands in the table, or would stand.
  private func slot(of text: UnsafeBufferPointer<UInt8>) -> Int {
    storage.withUnsafeBufferPointer { storage in
      var slot = Int(truncatingIfNeeded: Self.hash(text)) & (table.count - 1)
      while table[slot] != 0 {
        let span = spans[Int(table[slot] - 1)]
        if Int(span.count) == text.count, Self.equal(Self.text(span, storage), text) {
          return slot
        }
        slot = (slot + 1) & (table.count - 1)
      }
      return slot
    }
  }

  /// Where a text that is not in the table would stand.
  private func freeSlot(of text: UnsafeBufferPointer<UInt8>) -> Int {
    var slot = Int(truncatingIfNeeded: Self.hash(text)) & (table.count - 1)
    while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
    return slot
  }

  @inline(__always)
  private static func equal(
    _ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>
  ) -> Bool {
    for index in 0..<b.count where a[index] != b[index] { return false }
    return true
  }

  /// A hash that files cannot foresee.
  @inline(__always)
  static func hash(_ text: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var hash = seed ^ UInt64(text.count)
    var index = 0
    while index + 8 <= text.count {
      let word = UnsafeRawPointer(text.baseAddress.unsafelyUnwrapped + index)
        .loadUnaligned(as: UInt64.self)
      hash = mix(hash ^ word)
      index += 8
    }
    var word: UInt64 = 0
    while index < text.count {
      word = word << 8 | UInt64(text[index])
      index += 1
    }
    return mix(hash ^ word)
  }

  @inline(__always)
  static func mix(_ value: UInt64) -> UInt64 {
    let (high, low) = value.multipliedFullWidth(by: seed)
    return high ^ low
  }
}
