/// Writes GGUF files, version 3: the same metadata and tensors give the same bytes.
enum GGUFWriter {
  /// A value of the metadata.
  enum Value {
    case uint32(Int)
    case float32(Double)
    case bool(Bool)
    case string(String)
    case strings([String])
    case int32s([Int])
  }

  /// A tensor to be written: what the file says of it, and what makes its bytes.
  struct Item {
    let name: String
    let type: GGUFTensorType
    /// Sizes, outermost first.
    let shape: [Int]
    /// Writes exactly as many bytes as type and shape say, when their turn comes.
    let write: (inout AtomicFile) throws(CheckpointError) -> Void

    var byteCount: Int { shape.reduce(1, *) / type.blockSize * type.blockByteCount }
  }

  /// Writes a file, whole or not at all.
  static func write(
    _ metadata: [(String, Value)], _ items: [Item], to path: String
  ) throws(CheckpointError) {
    var header = GGUFFile.magic
    append(UInt32(3), to: &header)
    append(UInt64(items.count), to: &header)
    append(UInt64(metadata.count), to: &header)
    for (key, value) in metadata {
      append(key, to: &header)
      append(value, to: &header)
    }
    var offset = 0
    for item in items {
      append(item.name, to: &header)
      append(UInt32(item.shape.count), to: &header)
      for size in item.shape.reversed() { append(UInt64(size), to: &header) }
      append(item.type.rawValue, to: &header)
      append(UInt64(offset), to: &header)
      offset += item.byteCount + padding(after: item.byteCount)
    }
    header += [UInt8](repeating: 0, count: padding(after: header.count))
    do {
      var file = try AtomicFile(path: path)
      try file.write(header)
      for item in items {
        let before = file.byteCount
        try item.write(&file)
        precondition(file.byteCount - before == item.byteCount, "\(item.name): wrong byte count")
        try file.write([UInt8](repeating: 0, count: padding(after: item.byteCount)))
      }
      try file.commit()
    } catch let error as CheckpointError {
      throw error
    } catch let error as FileError {
      throw CheckpointError(writing: error)
    } catch {
      throw CheckpointError(.unwritable, "\(path): \(error)")
    }
  }

  private static func padding(after count: Int) -> Int {
    (GGUFFile.alignment - count % GGUFFile.alignment) % GGUFFile.alignment
  }

  private static func append(_ value: Value, to bytes: inout [UInt8]) {
    func type(_ type: GGUFValueType) { append(type.rawValue, to: &bytes) }
    switch value {
    case .uint32(let number):
      type(.uint32)
      append(UInt32(clamping: number), to: &bytes)
    case .float32(let number):
      type(.float32)
      append(Float(number).bitPattern, to: &bytes)
    case .bool(let isTrue):
      type(.bool)
      bytes.append(isTrue ? 1 : 0)
    case .string(let text):
      type(.string)
      append(text, to: &bytes)
    case .strings(let texts):
      type(.array)
      type(.string)
      append(UInt64(texts.count), to: &bytes)
      for text in texts { append(text, to: &bytes) }
    case .int32s(let numbers):
      type(.array)
      type(.int32)
      append(UInt64(numbers.count), to: &bytes)
      for number in numbers { append(UInt32(bitPattern: Int32(clamping: number)), to: &bytes) }
    }
  }

  private static func append(_ text: String, to bytes: inout [UInt8]) {
    append(UInt64(text.utf8.count), to: &bytes)
    bytes += text.utf8
  }

  private static func append<T: FixedWidthInteger>(_ number: T, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
  }
}
