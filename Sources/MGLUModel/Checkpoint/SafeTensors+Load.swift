extension SafeTensors: TensorFile {
  var names: [String] { entries.map(\.name) }

  func description(of name: String) -> TensorDescription? {
    self[name].map { TensorDescription(dataType: $0.dataType, shape: $0.shape) }
  }

  package func tensor(_ name: String) -> Tensor {
    guard let entry = self[name] else { preconditionFailure("no tensor \(name)") }
    return view(of: entry)
  }

  /// Converts the tensor `name`, of F32, F16 or BF16, to float32 in `target`, whose shape it must
  /// have.
  public func load(_ name: String, into target: Tensor) throws(CheckpointError) {
    try loadFloats(name, into: target)
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
