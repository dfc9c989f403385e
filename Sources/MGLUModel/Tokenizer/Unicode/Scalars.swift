extension UnsafeBufferPointer<UInt8> {
  /// The scalar that begins at `index` of valid UTF-8, and its length in bytes.
  @inline(__always)
  func scalar(at index: Int) -> (value: UInt32, length: Int) {
    let byte = UInt32(self[index])
    if byte < 0x80 { return (byte, 1) }
    if byte < 0xe0 { return ((byte & 0x1f) << 6 | UInt32(self[index + 1] & 0x3f), 2) }
    let rest = UInt32(self[index + 1] & 0x3f) << 6 | UInt32(self[index + 2] & 0x3f)
    if byte < 0xf0 { return ((byte & 0xf) << 12 | rest, 3) }
    return ((byte & 7) << 18 | rest << 6 | UInt32(self[index + 3] & 0x3f), 4)
  }

  /// Where the scalar before `index` begins in valid UTF-8.
  @inline(__always)
  func scalarStart(before index: Int) -> Int {
    var start = index - 1
    while start > 0, self[start] & 0xc0 == 0x80 { start -= 1 }
    return start
  }
}

extension [UInt8] {
  /// Appends a scalar as UTF-8.
  mutating func append(scalar value: UInt32) {
    if value < 0x80 { return append(UInt8(value)) }
    let units = Unicode.Scalar(value).map { Array($0.utf8) } ?? [0xef, 0xbf, 0xbd]
    append(contentsOf: units)
  }
}

extension Unicode.Scalar {
  /// Its UTF-8.
  var utf8: [UInt8] { Array(UTF8.encode(self) ?? UTF8.encodedReplacementCharacter) }
}
