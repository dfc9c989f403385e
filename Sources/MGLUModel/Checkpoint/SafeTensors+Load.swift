extension SafeTensors {
  /// The tensor `name`, which must have the shape given.
  func entry(_ name: String, shape: [Int]) throws(CheckpointError) -> Entry {
    guard let entry = self[name] else {
      throw CheckpointError(.missingTensor, "\(path): the tensor \(name) is missing")
    }
    guard entry.shape == shape else {
      throw CheckpointError(
        .disagreement, "\(path): \(name) has the shape \(entry.shape), expected \(shape)")
    }
    return entry
  }

  /// Converts the tensor `name`, of F32, F16 or BF16, to float32 in `target`, whose shape it must
  /// have.
  public func load(_ name: String, into target: Tensor) throws(CheckpointError) {
    let entry = try entry(name, shape: target.shape)
    let source = bytes(of: entry)
    let floats = target.floats
    switch entry.dataType {
    case .float32:
      for index in 0..<target.count {
        floats[index] = source.loadUnaligned(fromByteOffset: 4 * index, as: Float.self)
      }
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
      throw CheckpointError(
        .unsupportedType, "\(path): \(name) is \(entry.dataType), expected F32, F16 or BF16")
    }
  }
}

extension Float {
  /// The value of IEEE half-precision bits, on processors without such a type too.
  init(halfBits bits: UInt16) {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10 & 0x1f)
    let fraction = UInt32(bits & 0x3ff)
    switch exponent {
    case 0:
      let magnitude = Float(fraction) * 0x1p-24
      self = sign == 0 ? magnitude : -magnitude
    case 31: self = Float(bitPattern: sign | 0x7f80_0000 | fraction << 13)
    default: self = Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }
}
