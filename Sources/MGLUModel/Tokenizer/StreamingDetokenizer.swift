/// Decodes tokens as they come, in whole characters: the text of ``Tokenizer/decode(_:skippingSpecialTokens:)``.
///
/// One difference cannot be avoided: of tokens that stand for single bytes and together are no UTF-8, that
/// text has U+FFFD for every byte, while a stream has given the characters that were whole.
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: Tokenizer
  private var pending: [UInt8] = []
  /// Whether no token has come of a text that begins with this stream.
  private var isAtStart: Bool
  /// How often the text may still lose the character that its decoder strips.
  private var stripsLeft: Int

  /// An empty stream.
  ///
  /// - Parameters:
  ///   - tokenizer: Knows the tokens.
  ///   - startsText: Whether no text stands before that of the stream, so that a space which the
  ///     tokenizer puts before text is left out.
  public init(_ tokenizer: Tokenizer, startsText: Bool = false) {
    self.tokenizer = tokenizer
    isAtStart = startsText
    stripsLeft = startsText ? tokenizer.decoder.strip?.count ?? 0 : 0
  }

  /// The characters that `id` completes, if any. Special tokens have none.
  public mutating func append(_ id: Int32) -> String {
    if tokenizer.isSpecial(id) { return finish() }
    guard let bytes = tokenizer.bytes(of: id, isFirst: isAtStart) else { return "" }
    isAtStart = false
    guard tokenizer.decoder.hasByteFallback else {
      pending += bytes
      return stripped(takeComplete())
    }
    // Characters of bytes do not go on in a token that is text.
    if tokenizer.isByte(id) {
      pending += bytes
      return stripped(takeComplete())
    }
    let before = tokenizer.decoder.text(of: pending)
    pending.removeAll()
    return stripped(before + String(decoding: bytes, as: UTF8.self))
  }

  /// The characters that are left, with U+FFFD for an unfinished character.
  public mutating func finish() -> String {
    defer { pending.removeAll() }
    return stripped(tokenizer.decoder.text(of: pending))
  }

  private mutating func takeComplete() -> String {
    let complete = pending.count - incompleteSuffixLength()
    defer { pending.removeFirst(complete) }
    return tokenizer.decoder.text(of: pending[..<complete])
  }

  /// `text` without the characters that the decoder strips from the beginning.
  private mutating func stripped(_ text: String) -> String {
    guard stripsLeft > 0, !text.isEmpty else { return text }
    let (result, left) = tokenizer.decoder.stripped(text, count: stripsLeft)
    stripsLeft = left
    return result
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
