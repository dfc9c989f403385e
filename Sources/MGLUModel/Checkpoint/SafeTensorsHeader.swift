#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The header of a safetensors file: a little-endian u64 length, then that much JSON.
struct SafeTensorsHeader {
  let entries: [SafeTensors.Entry]
  let metadata: [String: String]

  /// The format's own limit on the length of the JSON.
  static let longest = 100_000_000
  private static let copyAgain = "the file is cut off: copy or download it again"

  /// Parses and checks the header of a whole file.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
    guard bytes.count >= 8 else {
      throw CheckpointError(
        .truncated, "\(path): \(bytes.count) bytes, expected a header of at least 8",
        remedy: Self.copyAgain)
    }
    if let pointer = GitPointer(bytes) { throw pointer.error(path) }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(Self.longest) else {
      throw CheckpointError(
        .malformed, "\(path): a header of \(length) bytes, at most \(Self.longest) are allowed")
    }
    let start = 8 + Int(length)
    guard start <= bytes.count else {
      throw CheckpointError(
        .truncated, "\(path): the header ends at byte \(start), the file at \(bytes.count)",
        remedy: Self.copyAgain)
    }
    let json = UnsafeRawBufferPointer(rebasing: bytes[8..<start])
    let isSpace = Set(" \t\n\r".utf8)
    guard json.first(where: { !isSpace.contains($0) }) == UInt8(ascii: "{") else {
      throw CheckpointError(.malformed, "\(path): the header does not begin with {")
    }
    let fields: [String: Field]
    do {
      fields = try JSONDecoder().decode([String: Field].self, from: Data(json))
    } catch {
      throw CheckpointError(.malformed, "\(path): the header is not the JSON that was expected")
    }
    var entries: [SafeTensors.Entry] = []
    var metadata: [String: String] = [:]
    for (name, field) in fields {
      switch field {
      case .metadata(let values) where name == "__metadata__": metadata = values
      case .metadata:
        throw CheckpointError(.malformed, "\(path): tensor \(name) lacks dtype, shape or offsets")
      case .tensor(let tensor):
        entries.append(try tensor.entry(name, path: path, start: start, end: bytes.count))
      }
    }
    entries.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound, $0.name)
        < ($1.byteRange.lowerBound, $1.byteRange.upperBound, $1.name)
    }
    try Self.checkCover(entries, start: start, end: bytes.count, path: path)
    self.entries = entries
    self.metadata = metadata
  }

  private static func checkCover(
    _ entries: [SafeTensors.Entry], start: Int, end: Int, path: String
  ) throws(CheckpointError) {
    var position = start
    for entry in entries {
      guard entry.byteRange.lowerBound == position else {
        let found = entry.byteRange.lowerBound < position ? "overlaps another" : "follows a hole"
        throw CheckpointError(.badOffsets, "\(path): tensor \(entry.name) \(found)")
      }
      position = entry.byteRange.upperBound
    }
    guard position == end else {
      throw CheckpointError(
        .badOffsets, "\(path): \(end - position) bytes after the last tensor")
    }
  }

  private struct TensorField: Decodable {
    let dtype: String
    let shape: [Int]
    let offsets: [Int]

    enum CodingKeys: String, CodingKey {
      case dtype
      case shape
      case offsets = "data_offsets"
    }

    func entry(
      _ name: String, path: String, start: Int, end: Int
    ) throws(CheckpointError) -> SafeTensors.Entry {
      guard let type = DataType(safeTensorsName: dtype) else {
        throw CheckpointError(
          .unsupportedType, "\(path): tensor \(name) has the unknown type \(dtype)")
      }
      var size = type.byteCount
      for dimension in shape {
        let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
        guard dimension >= 0, !overflow else {
          throw CheckpointError(.malformed, "\(path): tensor \(name) has the shape \(shape)")
        }
        size = product
      }
      guard offsets.count == 2, offsets[0] >= 0, offsets[0] <= offsets[1]
      else {
        throw CheckpointError(
          .badOffsets, "\(path): tensor \(name) has the offsets \(offsets)")
      }
      guard offsets[1] <= end - start else {
        throw CheckpointError(
          .truncated,
          "\(path): tensor \(name) ends at data byte \(offsets[1]) of \(end - start)",
          remedy: copyAgain)
      }
      guard offsets[1] - offsets[0] == size else {
        throw CheckpointError(
          .badOffsets,
          "\(path): tensor \(name) of \(dtype) \(shape) takes \(size) bytes, its offsets hold "
            + "\(offsets[1] - offsets[0])")
      }
      return SafeTensors.Entry(
        name: name, dataType: type, shape: shape,
        byteRange: start + offsets[0]..<start + offsets[1])
    }
  }

  private enum Field: Decodable {
    case tensor(TensorField)
    case metadata([String: String])

    init(from decoder: any Decoder) throws {
      if let values = try? [String: String](from: decoder) {
        self = .metadata(values)
      } else {
        self = .tensor(try TensorField(from: decoder))
      }
    }
  }
}
