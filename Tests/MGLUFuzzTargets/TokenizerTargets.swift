import MGLUModel
import MGLUTestSupport

/// Tokenizers, and texts that they encode.
enum TokenizerTargets {
  static func tokenizer(_ bytes: [UInt8]) throws(FuzzFinding) {
    guard let tokenizer = try? Tokenizer(json: bytes) else { return }
    for text in [
      "Hello, world! It's 12345 \n\n <|endoftext|> \u{e9}e\u{301}", "\u{0}\u{10ffff} 日本 \t",
      String(decoding: bytes.prefix(200), as: UTF8.self),
    ] {
      try check(tokenizer, text)
    }
  }

  static func vocabulary(_ bytes: [UInt8]) throws(FuzzFinding) {
    var choices = ByteChoices(bytes)
    let document = GeneratedTokenizer.document(&choices)
    guard let tokenizer = try? Tokenizer(json: Array(document.utf8)) else { return }
    try check(tokenizer, String(decoding: choices.rest, as: UTF8.self))
    try stream(tokenizer, choices.rest.map { Int32($0) * 2 - 20 })
  }

  private static func check(_ tokenizer: Tokenizer, _ text: String) throws(FuzzFinding) {
    for parses in [false, true] {
      let ids = tokenizer.encode(text, parsingAddedTokens: parses)
      guard ids.allSatisfy({ 0 <= $0 && Int($0) < tokenizer.vocabularySize }) else {
        throw FuzzFinding("ids \(ids) in a vocabulary of \(tokenizer.vocabularySize)")
      }
      try stream(tokenizer, ids)
    }
    // What is saved reads the same.
    do {
      try withTemporaryFolder(in: Scratch.parent) { folder in
        try tokenizer.save(to: folder)
        let again = try Tokenizer(contentsOf: folder)
        guard again.encode(text) == tokenizer.encode(text) else {
          throw FuzzFinding("saved, it encodes \(text.debugDescription) otherwise")
        }
      }
    } catch { throw FuzzFinding("\(error)") }
  }

  /// Tokens one by one are the text of all.
  private static func stream(_ tokenizer: Tokenizer, _ ids: [Int32]) throws(FuzzFinding) {
    var detokenizer = StreamingDetokenizer(tokenizer, startsText: true)
    var text = ""
    for id in ids { text += detokenizer.append(id) }
    text += detokenizer.finish()
    let whole = tokenizer.decode(ids, skippingSpecialTokens: true)
    guard !ids.contains(where: tokenizer.isSpecial) else { return }
    // Of bytes that are no UTF-8 together, a stream has given the characters that were whole.
    if ids.contains(where: tokenizer.isByte), whole.unicodeScalars.contains("\u{fffd}") {
      guard text.unicodeScalars.contains("\u{fffd}") else {
        throw FuzzFinding("\(ids) streams \(text.debugDescription), without a U+FFFD")
      }
      return
    }
    guard text.utf8.elementsEqual(whole.utf8) else {
      throw FuzzFinding("\(ids) streams \(text.debugDescription), is \(whole.debugDescription)")
    }
  }
}
