/// GGUF files for tests, with whatever is wrong with them.
package struct GGUFBytes {
  package var bytes: [UInt8] = Array("GGUF".utf8)

  /// The begin of a file of so many tensors and keys.
  package init(version: UInt32 = 3, tensors: UInt64 = 0, keys: UInt64 = 0) {
    number(version)
    number(tensors)
    number(keys)
  }

  package mutating func number<T: FixedWidthInteger>(_ value: T) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }

  package mutating func string(_ text: String) {
    number(UInt64(text.utf8.count))
    bytes += text.utf8
  }

  /// A key with a string.
  package func key(_ name: String, _ value: String) -> GGUFBytes {
    var file = key(name, type: 8)
    file.string(value)
    return file
  }

  /// A key with an integer of 32 bits.
  package func key(_ name: String, _ value: UInt32) -> GGUFBytes {
    var file = key(name, type: 4)
    file.number(value)
    return file
  }

  /// A key whose value follows.
  package func key(_ name: String, type: UInt32) -> GGUFBytes {
    var file = self
    file.string(name)
    file.number(type)
    return file
  }

  /// A key with an array, of which elements follow.
  package func array(_ name: String, type: UInt32, count: UInt64) -> GGUFBytes {
    var file = key(name, type: 9)
    file.number(type)
    file.number(count)
    return file
  }

  /// A tensor of the list.
  package func tensor(
    _ name: String, _ sizes: [UInt64], type: UInt32 = 0, offset: UInt64 = 0
  ) -> GGUFBytes {
    var file = self
    file.string(name)
    file.number(UInt32(sizes.count))
    for size in sizes { file.number(size) }
    file.number(type)
    file.number(offset)
    return file
  }

  /// The file with so many bytes of data.
  package func data(_ count: Int) -> GGUFBytes {
    var file = self
    while file.bytes.count % 32 != 0 { file.bytes.append(0) }
    file.bytes += [UInt8](repeating: 1, count: count)
    return file
  }

  /// The file with more bytes at its end.
  package func adding(_ more: [UInt8]) -> GGUFBytes {
    var file = self
    file.bytes += more
    return file
  }
}
