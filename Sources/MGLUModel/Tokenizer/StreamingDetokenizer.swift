/// Decodes tokens as they come, in whole characters.
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: Tokenizer
  private var pending: [UInt8] = []

  /// An empty stream.
  public init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// The characters that `id` completes, if any. Special tokens have none.
  public mutating func append(_ id: Int32) -> String {
    if tokenizer.isSpecial(id) { return finish() }
    pending += tokenizer.bytes(of: id) ?? []
    let complete = pending.count - incompleteSuffixLength()
    defer { pending.removeFirst(complete) }
    return String(decoding: pending[..<complete], as: UTF8.self)
  }

  /// The characters that are left, with U+FFFD for an unfinished character.
  public mutating func finish() -> String {
    defer { pending.removeAll() }
    return String(decoding: pending, as: UTF8.self)
  }

  /// Bytes at the end that begin a character which more bytes could complete.
  private func incompleteSuffixLength() -> Int {
    for length in 1...3 where length <= pending.count {
      let byte = pending[pending.count - length]
      if byte & 0xc0 == 0x80 { continue }
      let needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
      return needed > length ? length : 0
    }
    return 0
  }
}
