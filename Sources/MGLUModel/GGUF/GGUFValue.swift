/// A value of a GGUF file's metadata. Elements of arrays stay in the file until they are asked for.
package enum GGUFValue: Sendable {
  case unsigned(UInt64)
  case signed(Int64)
  case float(Double)
  case bool(Bool)
  case string(String)
  case array(GGUFArray)

  /// What kind of value it is, in words.
  package var kind: String {
    switch self {
    case .unsigned, .signed: "an integer"
    case .float: "a number"
    case .bool: "true or false"
    case .string: "a string"
    case .array(let array): "an array of \(array.type)"
    }
  }
}

/// An array of a GGUF file's metadata.
package struct GGUFArray: Sendable {
  /// The type of every element.
  package let type: GGUFValueType
  /// The number of elements.
  package let count: Int
  /// Where the elements lie in the file: checked when the file was opened.
  package let bytes: Range<Int>
}

/// The types of values, under GGUF's numbers.
package enum GGUFValueType: UInt32, Sendable {
  case uint8 = 0
  case int8
  case uint16
  case int16
  case uint32
  case int32
  case float32
  case bool
  case string
  case array
  case uint64
  case int64
  case float64

  /// Bytes of a value, where all have the same.
  package var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}
