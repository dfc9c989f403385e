@_spi(_Unicode) import Swift

extension Slice<UnsafeBufferPointer<UInt8>> {
  /// This UTF-8 in Unicode's composed form (NFC), or `nil` where ASCII is all there is.
  var composed: [UInt8]? {
    if allSatisfy({ $0 < 0x80 }) { return nil }
    // The standard library's own composition: Foundation's would bring ICU with it on Linux.
    var scalars = String.UnicodeScalarView()
    scalars.append(contentsOf: String(decoding: self, as: UTF8.self)._nfc)
    return Array(String(scalars).utf8)
  }
}
