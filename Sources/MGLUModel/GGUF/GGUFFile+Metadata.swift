/// Values of the metadata by their keys, of the type that is asked for.
extension GGUFFile {
  /// The integer of `key`, if there is one.
  package func integer(_ key: String) throws(CheckpointError) -> Int? {
    switch metadata[key] {
    case .unsigned(let value): return try checked(Int(exactly: value), key)
    case .signed(let value): return Int(value)
    case let value: return try absent(value, key, "an integer")
    }
  }

  /// The number of `key`, if there is one.
  package func number(_ key: String) throws(CheckpointError) -> Double? {
    switch metadata[key] {
    case .float(let value):
      guard value.isFinite else {
        throw CheckpointError(.malformed, "\(path): \(key) is \(value): expected a finite number")
      }
      return value
    case .unsigned, .signed: return try integer(key).map(Double.init)
    case let value: return try absent(value, key, "a number")
    }
  }

  /// The string of `key`, if there is one.
  package func string(_ key: String) throws(CheckpointError) -> String? {
    guard case .string(let value) = metadata[key] else {
      return try absent(metadata[key], key, "a string")
    }
    return value
  }

  /// Whether `key` is true, if it is there.
  package func bool(_ key: String) throws(CheckpointError) -> Bool? {
    guard case .bool(let value) = metadata[key] else {
      return try absent(metadata[key], key, "true or false")
    }
    return value
  }

  /// The strings of `key`, if they are there.
  package func strings(_ key: String) throws(CheckpointError) -> [String]? {
    guard case .array(let array) = metadata[key], array.type == .string else {
      return try absent(metadata[key], key, "an array of strings")
    }
    var reader = reader(of: array)
    var result: [String] = []
    result.reserveCapacity(array.count)
    for index in 0..<array.count { result.append(try reader.string("\(key)[\(index)]")) }
    return result
  }

  /// The numbers of `key`, of any type, if they are there.
  package func numbers(_ key: String) throws(CheckpointError) -> [Double]? {
    guard case .array(let array) = metadata[key], array.type.byteCount != nil else {
      return try absent(metadata[key], key, "an array of numbers")
    }
    var reader = reader(of: array)
    var result: [Double] = []
    result.reserveCapacity(array.count)
    for _ in 0..<array.count {
      switch try reader.value(array.type, of: key) {
      case .unsigned(let value): result.append(Double(value))
      case .signed(let value): result.append(Double(value))
      case .float(let value): result.append(value)
      case .bool(let value): result.append(value ? 1 : 0)
      case .string, .array: break
      }
    }
    return result
  }

  /// The error of `key`, in one line.
  package func malformed(_ key: String, _ problem: String) -> CheckpointError {
    CheckpointError(.malformed, "\(path): \(key) \(problem)")
  }

  private func reader(of array: GGUFArray) -> GGUFReader {
    GGUFReader(
      UnsafeRawBufferPointer(rebasing: arena.elements(.uint8).bytes[..<array.bytes.upperBound]),
      path: path, at: array.bytes.lowerBound)
  }

  private func checked(_ value: Int?, _ key: String) throws(CheckpointError) -> Int {
    guard let value else { throw malformed(key, "is larger than any integer here") }
    return value
  }

  private func absent<T>(
    _ value: GGUFValue?, _ key: String, _ expected: String
  ) throws(CheckpointError) -> T? {
    guard let value else { return nil }
    throw malformed(key, "is \(value.kind), expected \(expected)")
  }
}
