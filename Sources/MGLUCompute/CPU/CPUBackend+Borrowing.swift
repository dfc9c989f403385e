import CMGLUKernels

// Memory that a caller keeps, which every thread of the process reads at the same addresses.

extension CPUBackend: BorrowingBackend {
  package func borrow(_ address: UInt, _ shape: [Int], _ type: DataType) -> Tensor {
    Tensor(
      arena: AddressSpace.arena, byteOffset: Int(bitPattern: address) - AddressSpace.first,
      shape: shape, dataType: type)
  }

  package func packedSizes(
    rows: Int, columns: Int, gating: Gating, as type: WeightType
  ) -> PackedRegions {
    let scales = WeightType.scalesShape(rows: rows, columns: columns).reduce(2, *)
    let words = Self.wordsShape(gating, rows: rows, columns: columns).reduce(8, *)
    return PackedRegions(
      weights: UInt(gating.planes * rows * columns * type.dataType.byteCount),
      scales: type == .int8 ? UInt(gating.planes * scales) : 0, words: UInt(words))
  }

  package func pack(
    _ planes: [StoredMatrix], masks: Tensor?, rows: Int, columns: Int, gating: Gating,
    as type: WeightType, at addresses: PackedRegions
  ) {
    let targets = matrices(rows, columns, gating, type, at: addresses)
    for (source, target) in zip(planes, targets) {
      if source.type == type {
        copy(source.weights, into: target.weights)
        if let from = source.scales, let to = target.scales { copy(from, into: to) }
      } else if source.type == .float32 {
        quantize(source.weights, into: target)
      } else if type == .float32 {
        dequantize(source, into: target.weights)
      } else {
        let wide = allocate { $0.tensor([rows, columns]) }
        dequantize(source, into: wide)
        quantize(wide, into: target)
      }
    }
    if let masks {
      let shape = Self.wordsShape(gating, rows: rows, columns: columns)
      pack(masks, columns: columns, into: borrow(addresses.words, shape, .int64))
    }
  }

  package func packedWeights(
    rows: Int, columns: Int, gating: Gating, activation: Activation, as type: WeightType,
    at addresses: PackedRegions
  ) -> PackedWeights {
    let shape = Self.wordsShape(gating, rows: rows, columns: columns)
    let part = CPUPackedRows.Part(
      planes: matrices(rows, columns, gating, type, at: addresses),
      words: gating.masks == 0 ? nil : borrow(addresses.words, shape, .int64))
    return PackedWeights(
      rows: rows, columns: columns, type: type, gating: gating, activation: activation,
      storage: CPUPackedRows([part]))
  }

  /// The matrices at addresses, one behind the other.
  private func matrices(
    _ rows: Int, _ columns: Int, _ gating: Gating, _ type: WeightType,
    at addresses: PackedRegions
  ) -> [StoredMatrix] {
    let bytes = UInt(rows * columns * type.dataType.byteCount)
    let shape = WeightType.scalesShape(rows: rows, columns: columns)
    return (0..<UInt(gating.planes)).map { plane in
      StoredMatrix(
        weights: borrow(addresses.weights + plane * bytes, [rows, columns], type.dataType),
        scales: type == .int8
          ? borrow(addresses.scales + plane * UInt(shape.reduce(2, *)), shape, .float16) : nil)
    }
  }

  /// A call's rows lie in memory of the backend.
  package func workspaceSize(
    rows: Int, columns: Int, n: Int, promptRows: Int, gating: Gating, as type: WeightType,
    precision: InputPrecision
  ) -> Int { 0 }

  package func perform(_ call: BorrowedCall, _ body: () -> Void) throws(BackendError) {
    if !call.isPreparing { body() }
  }
}

/// All memory of this machine as one arena: a tensor over a caller's memory then costs no allocation.
private final class AddressSpace: DeviceMemory {
  /// Below any address that a process has.
  static let first = HostBuffer.alignment
  static let arena = Arena(AddressSpace())

  let byteCount = Int.max
  var hostAddress: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: Self.first) }
}
