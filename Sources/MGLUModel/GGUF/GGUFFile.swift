/// A GGUF file, mapped: metadata, names, types and shapes are read at once, elements when touched.
///
/// The reader trusts nothing: counts, lengths, shapes, offsets and their arithmetic are checked, names
/// must differ, and tensors must lie within the file without overlap.
package struct GGUFFile: Sendable {
  /// One tensor of the file.
  package struct Entry: Sendable {
    package let name: String
    package let type: GGUFTensorType
    /// Sizes, outermost first: GGUF has them the other way round.
    package let shape: [Int]
    /// Where its blocks lie in the file.
    package let byteRange: Range<Int>
  }

  package let metadata: [String: GGUFValue]
  /// The tensors in the order of the file's list.
  package let entries: [Entry]
  /// The mapped bytes.
  package let arena: Arena
  package var path: String { file.path }
  private let file: MappedFile

  package static let magic = Array("GGUF".utf8)
  /// The multiple that offsets have where a file names no other.
  package static let alignment = 32

  /// Whether the file at `path` begins as a GGUF file does.
  package static func isGGUF(_ path: String) -> Bool {
    guard Folder.kind(of: path) == .file, let file = try? MappedFile(path: path) else {
      return false
    }
    return file.withBytes { bytes in
      bytes.withUnsafeBytes { $0.prefix(4).elementsEqual(Self.magic) }
    }
  }

  /// Opens and checks the file at `path`.
  package init(path: String) throws(CheckpointError) {
    do { file = try MappedFile(path: path) } catch { throw CheckpointError(reading: error) }
    arena = Arena(file)
    let bytes = file.bytes
    guard bytes.prefix(4).elementsEqual(Self.magic) else {
      throw CheckpointError(
        .malformed, "\(path): not a GGUF file, which begins with \"GGUF\"",
        remedy: "give a GGUF file or the folder of a model")
    }
    var reader = GGUFReader(bytes, path: path, at: 4)
    let version = try reader.integer(UInt32.self, "the version")
    guard version == 2 || version == 3 else {
      let found = version.byteSwapped < 1 << 16 ? "big-endian numbers" : "version \(version)"
      throw CheckpointError(
        .malformed, "\(path): GGUF of \(found), expected little-endian version 2 or 3",
        remedy: "convert it with a current llama.cpp")
    }
    let tensors = try reader.integer(UInt64.self, "the number of tensors")
    let keys = try reader.integer(UInt64.self, "the number of keys")
    let metadata = try Self.metadata(keys, from: &reader, path: path)
    self.metadata = metadata
    entries = try Self.entries(tensors, metadata, from: &reader, path: path, end: bytes.count)
  }

  private static func metadata(
    _ count: UInt64, from reader: inout GGUFReader, path: String
  ) throws(CheckpointError) -> [String: GGUFValue] {
    var metadata: [String: GGUFValue] = [:]
    var left = count
    while left > 0 {
      let key = try reader.name("the name of a key")
      let value = try reader.value(try reader.valueType(of: key), of: key)
      guard metadata.updateValue(value, forKey: key) == nil else {
        throw CheckpointError(.malformed, "\(path): the key \(key) is given twice")
      }
      left -= 1
    }
    return metadata
  }

  private static func entries(
    _ count: UInt64, _ metadata: [String: GGUFValue], from reader: inout GGUFReader, path: String,
    end: Int
  ) throws(CheckpointError) -> [Entry] {
    let alignment = try alignment(metadata, path: path)
    var described: [(name: String, type: GGUFTensorType, shape: [Int], size: Int, offset: UInt64)]
    described = []
    var names: Set<String> = []
    var left = count
    while left > 0 {
      let name = try reader.name("the name of a tensor")
      guard names.insert(name).inserted else {
        throw CheckpointError(.malformed, "\(path): the tensor \(name) is given twice")
      }
      let (shape, type, size) = try description(of: name, from: &reader, path: path)
      let offset = try reader.integer(UInt64.self, "the tensor \(name)")
      guard offset % UInt64(alignment) == 0 else {
        throw CheckpointError(
          .badOffsets,
          "\(path): tensor \(name) begins at data byte \(offset), no multiple of \(alignment)")
      }
      described.append((name, type, shape, size, offset))
      left -= 1
    }
    // At most alignment - 1 more than the size of the file.
    let start = (reader.position + alignment - 1) / alignment * alignment
    var entries: [Entry] = []
    for tensor in described {
      let space = max(end - start, 0)
      guard tensor.offset <= UInt64(space), tensor.size <= space - Int(tensor.offset) else {
        throw CheckpointError(
          .truncated,
          "\(path): tensor \(tensor.name) has \(tensor.size) bytes from data byte "
            + "\(tensor.offset) on, the file has \(space) of data",
          remedy: "the file is cut off or damaged: copy or download it again")
      }
      let first = start + Int(tensor.offset)
      entries.append(
        Entry(
          name: tensor.name, type: tensor.type, shape: tensor.shape,
          byteRange: first..<first + tensor.size))
    }
    try checkDistinct(entries, path: path)
    return entries
  }

  private static func alignment(
    _ metadata: [String: GGUFValue], path: String
  ) throws(CheckpointError) -> Int {
    guard let value = metadata["general.alignment"] else { return alignment }
    guard case .unsigned(let number) = value, (1...1 << 16).contains(number),
      number & (number - 1) == 0
    else {
      throw CheckpointError(
        .malformed,
        "\(path): general.alignment is no power of 2 from 1 to \(1 << 16)")
    }
    return Int(number)
  }

  private static func description(
    of name: String, from reader: inout GGUFReader, path: String
  ) throws(CheckpointError) -> (shape: [Int], type: GGUFTensorType, size: Int) {
    let dimensions = try reader.integer(UInt32.self, "the tensor \(name)")
    guard (1...4).contains(dimensions) else {
      throw CheckpointError(
        .malformed, "\(path): tensor \(name) has \(dimensions) dimensions, expected 1 to 4")
    }
    var shape: [Int] = []
    var elements = 1
    for _ in 0..<dimensions {
      let dimension = try reader.integer(UInt64.self, "the tensor \(name)")
      let (product, overflow) = elements.multipliedReportingOverflow(by: Int(clamping: dimension))
      guard dimension > 0, !overflow, product < 1 << 50 else {
        throw CheckpointError(
          .malformed, "\(path): tensor \(name) has the sizes \(shape + [Int(clamping: dimension)])")
      }
      elements = product
      shape.append(Int(clamping: dimension))
    }
    let number = try reader.integer(UInt32.self, "the tensor \(name)")
    guard let type = GGUFTensorType(rawValue: number) else {
      let known = GGUFTensorType.allCases.map(\.name).joined(separator: ", ")
      throw CheckpointError(
        .unsupportedType,
        "\(path): tensor \(name) is \(GGUFTensorType.name(of: number)), expected one of \(known)",
        remedy: "give a file of another quantization, such as Q8_0 or Q4_K_M")
    }
    guard shape[0] % type.blockSize == 0 else {
      throw CheckpointError(
        .malformed,
        "\(path): tensor \(name) of \(type.name) has rows of \(shape[0]), no multiple of "
          + "\(type.blockSize)")
    }
    return (shape.reversed(), type, elements / type.blockSize * type.blockByteCount)
  }

  private static func checkDistinct(
    _ entries: [Entry], path: String
  ) throws(CheckpointError) {
    let sorted = entries.sorted { $0.byteRange.lowerBound < $1.byteRange.lowerBound }
    for (one, next) in zip(sorted, sorted.dropFirst())
    where one.byteRange.upperBound > next.byteRange.lowerBound {
      throw CheckpointError(.badOffsets, "\(path): tensors \(one.name) and \(next.name) overlap")
    }
  }
}
