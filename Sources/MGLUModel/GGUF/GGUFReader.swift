/// Reads the numbers, strings and values of a GGUF file one after the other. It trusts nothing: every
/// length is compared with what is left of the file.
struct GGUFReader {
  private let bytes: UnsafeRawBufferPointer
  private let path: String
  /// Where the next byte lies.
  private(set) var position: Int

  /// The most bytes of a name: ggml allows 64 for tensors, keys are longer.
  static let longestName = 1 << 16

  init(_ bytes: UnsafeRawBufferPointer, path: String, at position: Int = 0) {
    (self.bytes, self.path, self.position) = (bytes, path, position)
  }

  /// The next `count` bytes, of `what`.
  mutating func take(_ count: UInt64, _ what: @autoclosure () -> String)
    throws(CheckpointError) -> Range<Int>
  {
    let left = bytes.count - position
    guard count <= UInt64(left) else {
      throw CheckpointError(
        .truncated, "\(path): \(what()) takes \(count) bytes, the file has \(left) more",
        remedy: "the file is cut off or damaged: copy or download it again")
    }
    defer { position += Int(count) }
    return position..<position + Int(count)
  }

  /// The next integer, of `what`.
  mutating func integer<T: FixedWidthInteger>(
    _ type: T.Type = T.self, _ what: @autoclosure () -> String
  ) throws(CheckpointError) -> T {
    let range = try take(UInt64(MemoryLayout<T>.size), what())
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: T.self))
  }

  /// The next string, of `what`: a length in 64 bits and that much UTF-8.
  mutating func string(_ what: @autoclosure () -> String) throws(CheckpointError) -> String {
    let length = try integer(UInt64.self, what())
    let range = try take(length, what())
    guard let text = String(validating: bytes[range], as: UTF8.self) else {
      throw CheckpointError(.malformed, "\(path): \(what()) is not valid UTF-8")
    }
    return text
  }

  /// The next name of a key or tensor.
  mutating func name(_ what: @autoclosure () -> String) throws(CheckpointError) -> String {
    let text = try string(what())
    guard !text.isEmpty, text.utf8.count <= Self.longestName else {
      throw CheckpointError(
        .malformed,
        "\(path): \(what()) has \(text.utf8.count) bytes, expected 1 to \(Self.longestName)")
    }
    // Errors show names, each in one line.
    guard text.unicodeScalars.allSatisfy({ !$0.properties.generalCategory.isControl }) else {
      throw CheckpointError(
        .malformed, "\(path): \(what()) is \(text.shown), which has control characters",
        remedy: "the file is damaged: copy or download it again")
    }
    return text
  }

  /// The next value, of the key `key`.
  mutating func value(_ type: GGUFValueType, of key: String) throws(CheckpointError) -> GGUFValue {
    switch type {
    case .uint8: return .unsigned(UInt64(try integer(UInt8.self, key)))
    case .uint16: return .unsigned(UInt64(try integer(UInt16.self, key)))
    case .uint32: return .unsigned(UInt64(try integer(UInt32.self, key)))
    case .uint64: return .unsigned(try integer(UInt64.self, key))
    case .int8: return .signed(Int64(try integer(Int8.self, key)))
    case .int16: return .signed(Int64(try integer(Int16.self, key)))
    case .int32: return .signed(Int64(try integer(Int32.self, key)))
    case .int64: return .signed(try integer(Int64.self, key))
    case .float32:
      let value = Float(bitPattern: try integer(UInt32.self, key))
      // The decimal number that was meant: 1e-5, not 9.999999747378752e-06.
      return .float(value.isFinite ? Double(value.description) ?? Double(value) : Double(value))
    case .float64: return .float(Double(bitPattern: try integer(UInt64.self, key)))
    case .bool:
      let value = try integer(UInt8.self, key)
      guard value <= 1 else {
        throw CheckpointError(.malformed, "\(path): \(key) is \(value), expected 0 or 1")
      }
      return .bool(value == 1)
    case .string: return .string(try string(key))
    case .array: return .array(try array(of: key))
    }
  }

  private mutating func array(of key: String) throws(CheckpointError) -> GGUFArray {
    let type = try valueType(of: key)
    let count = try integer(UInt64.self, key)
    let start = position
    if let size = type.byteCount {
      let (total, overflow) = count.multipliedReportingOverflow(by: UInt64(size))
      _ = try take(overflow ? .max : total, key)
    } else {
      guard type == .string else {
        throw CheckpointError(
          .malformed, "\(path): \(key) is an array of arrays, expected numbers or strings")
      }
      // Each takes bytes, so a false count ends at the end of the file.
      var left = count
      while left > 0 {
        _ = try take(try integer(UInt64.self, key), key)
        left -= 1
      }
    }
    return GGUFArray(type: type, count: Int(clamping: count), bytes: start..<position)
  }

  /// The next number of a type of values.
  mutating func valueType(of key: String) throws(CheckpointError) -> GGUFValueType {
    let number = try integer(UInt32.self, key)
    guard let type = GGUFValueType(rawValue: number) else {
      throw CheckpointError(
        .malformed, "\(path): \(key) has a value of type \(number), expected 0 to 12",
        remedy: "the file is damaged: copy or download it again")
    }
    return type
  }
}

extension String {
  /// The text of a file as an error shows it: in quotes, in one line, and not too long.
  var shown: String {
    let start = String(unicodeScalars.prefix(80))
    return start.debugDescription + (start.utf8.count < utf8.count ? "..." : "")
  }
}

extension Unicode.GeneralCategory {
  /// Whether such characters end lines or are invisible.
  fileprivate var isControl: Bool {
    switch self {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}
