/// Tokens as responses spell them.
struct TokenSpelling {
  let tokenizer: Tokenizer

  /// The spelling of a token, or its bytes in hexadecimal if they are not valid UTF-8 by themselves.
  func string(_ id: Int32) -> String {
    let bytes = bytes(id)
    if let string = String(validating: bytes, as: UTF8.self) { return string }
    return "bytes:"
      + bytes.map { byte in
        let digits = String(byte, radix: 16)
        return "\\x" + (digits.count < 2 ? "0" : "") + digits
      }.joined()
  }

  func bytes(_ id: Int32) -> [UInt8] { tokenizer.bytes(of: id) ?? [] }

  /// How many characters (Unicode scalars, as Python counts) begin in a token.
  func characterCount(_ id: Int32) -> Int { bytes(id).count { $0 & 0xc0 != 0x80 } }
}
