/// A file of named tensors, of which a checkpoint consists.
protocol TensorFile: Sendable {
  /// Where the file lies.
  var path: String { get }
  /// The names of its tensors.
  var names: [String] { get }
  /// The type in which a model of this file is best computed, where the type of its embedding does not
  /// tell.
  var weightType: WeightType? { get }
  /// Element type and shape of the tensor `name`, if there is one.
  func description(of name: String) -> TensorDescription?
  /// The elements of the tensor `name`, in the file where it has them in this form: they may be read
  /// only, and lie at any address.
  ///
  /// - Precondition: the tensor is there.
  func tensor(_ name: String) -> Tensor
}

/// What is known of a tensor before its elements are read.
struct TensorDescription: Equatable {
  /// The type of every element.
  let dataType: DataType
  /// Sizes, outermost first.
  let shape: [Int]
}

extension TensorFile {
  var weightType: WeightType? { nil }

  /// The type of the tensor `name`, which must have the shape given.
  func dataType(of name: String, shape: [Int]) throws(CheckpointError) -> DataType {
    guard let found = description(of: name) else {
      throw CheckpointError(.missingTensor, "\(path): the tensor \(name) is missing")
    }
    guard found.shape == shape else {
      throw CheckpointError(
        .disagreement, "\(path): \(name) has the shape \(found.shape), expected \(shape)")
    }
    return found.dataType
  }

  /// The tensor `name`, which must have the shape and one of the types.
  func tensor(
    _ name: String, shape: [Int], types: [DataType]
  ) throws(CheckpointError) -> Tensor {
    let found = try dataType(of: name, shape: shape)
    guard types.contains(found) else {
      let expected = types.map(\.safeTensorsName).joined(separator: ", ")
      throw CheckpointError(
        .unsupportedType,
        "\(path): \(name) is \(found.safeTensorsName), expected \(expected)")
    }
    return tensor(name)
  }

  /// Converts the tensor `name`, of F32, F16 or BF16, to float32 in `target`, whose shape it must
  /// have.
  func loadFloats(_ name: String, into target: Tensor) throws(CheckpointError) {
    let tensor = try tensor(name, shape: target.shape, types: [.float32, .float16, .bfloat16])
    let source = UnsafeRawBufferPointer(tensor.bytes)
    let floats = target.floats
    switch tensor.dataType {
    case .bfloat16:
      for index in 0..<target.count {
        let bits = source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
        floats[index] = Float(bitPattern: UInt32(bits) << 16)
      }
    case .float16:
      for index in 0..<target.count {
        let bits = source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
        floats[index] = Float(halfBits: bits)
      }
    default:
      for index in 0..<target.count {
        floats[index] = source.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
      }
    }
    withExtendedLifetime(tensor) {}
  }
}

extension Tensor {
  /// Whether the elements of both are the same, bit for bit.
  func hasSameBytes(as other: Tensor) -> Bool { bytes.elementsEqual(other.bytes) }
}
