import CMGLUKernels

// Weights on their way to the GPU: read on the host as they are stored, converted and ordered there.

extension CUDABackend {
  public var weightTypes: [WeightType] { [.float32, .float16, .bfloat16, .int8] }

  /// BF16 for float32, whose kernels are there to compare with and ten times as slow.
  public func weightType(for type: WeightType) -> WeightType {
    switch type {
    case .float32, .bfloat16: .bfloat16
    case .float16: .float16
    case .int8: .int8
    }
  }

  /// Bytes of a matrix or of masks that are on their way together.
  private static let portionBytes = 64 << 20

  public func projection(stacking matrices: [StoredMatrix], as type: WeightType) -> PackedWeights {
    let rows = matrices.reduce(0) { $0 + $1.rows }
    if type == .float32 {
      // Few models are run so: one matrix is made of them first.
      let columns = matrices[0].columns
      let whole = host.allocate { $0.tensor([rows, columns]) }
      var first = 0
      for matrix in matrices {
        host.dequantize(matrix, into: whole[first..<first + matrix.rows])
        first += matrix.rows
      }
      return pack(
        [StoredMatrix(weights: whole)], masks: nil, gating: .linear, activation: .identity,
        as: type)
    }
    return cells(
      [matrices], masks: nil, rows: rows, gating: .linear, activation: .identity, as: type)
  }

  public func pack(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation,
    as type: WeightType
  ) -> PackedWeights {
    precondition(planes.count == gating.planes, "a plane for every matrix")
    let (rows, columns) = (planes[0].rows, planes[0].columns)
    precondition(
      masks?.shape == (gating.masks > 0 ? [gating.masks, rows, (columns + 7) / 8] : nil),
      "masks \(masks?.shape ?? []) for \(gating) of [\(rows), \(columns)]")
    if type == .float32 {
      return PackedWeights(
        rows: rows, columns: columns, type: type, gating: gating, activation: activation,
        storage: CUDAPackedRows(
          planes: planes.map { toDevice(host.converted($0, to: .float32).weights) },
          bits: masks.map(toDevice)))
    }
    return cells(
      planes.map { [$0] }, masks: masks, rows: rows, gating: gating, activation: activation,
      as: type)
  }

  /// Weights of 16 or 8 bits in the cells of fused_linear.cu; each plane may be stacked of several matrices.
  private func cells(
    _ planes: [[StoredMatrix]], masks: Tensor?, rows: Int, gating: Gating,
    activation: Activation, as type: WeightType
  ) -> PackedWeights {
    precondition(type != .float32, "\(type) has no cells")
    let columns = planes[0][0].columns
    let cellBytes = FusedLinearVariant.cellBytes(
      masks: gating.masks, planes: planes.count, type: type)
    let count = (rows + 15) / 16 * ((columns + 63) / 64)
    let cells = allocate { $0.tensor([count, cellBytes], .uint8) }
    for (plane, matrices) in planes.enumerated() {
      var first = 0
      for matrix in matrices {
        pack(
          type == .int8 ? host.converted(matrix, to: .int8) : matrix, into: cells, firstRow: first,
          plane: plane, type)
        first += matrix.rows
      }
    }
    if let masks { pack(masks, rows: rows, columns: columns, into: cells) }
    return PackedWeights(
      rows: rows, columns: columns, type: type, gating: gating, activation: activation,
      storage: CUDAPackedCells(cells))
  }

  private func pack(
    _ matrix: StoredMatrix, into cells: Tensor, firstRow: Int, plane: Int, _ type: WeightType
  ) {
    let rowBytes = matrix.byteCount / max(1, matrix.rows)
    inPortions(of: matrix.rows, rowBytes: rowBytes) { range, staging throws(CUDAError) in
      let weights = matrix.weights[range]
      let scales = matrix.scales?[range]
      // Scales of 16 bits stay aligned behind weights of 8.
      let scalesOffset = (weights.byteCount + 15) / 16 * 16
      try stream.copy(from: UnsafeRawBufferPointer(weights.bytes), to: staging)
      if let scales {
        try stream.copy(
          from: UnsafeRawBufferPointer(scales.bytes), to: staging + UInt64(scalesOffset))
      }
      if type == .int8 {
        try function("pack", "pack_integers", options: []).launch(
          grid: 1024, block: 256, on: stream,
          arguments: staging, staging + UInt64(scalesOffset), cells.deviceAddress,
          Int64(range.count), Int64(matrix.columns), Int64(firstRow + range.lowerBound),
          Int32(plane), Int32(cells.columns))
        return
      }
      try function("pack", "pack_plane", options: []).launch(
        grid: 1024, block: 256, on: stream,
        arguments: staging, staging + UInt64(scalesOffset), cells.deviceAddress,
        Int64(range.count), Int64(matrix.columns), Int64(firstRow + range.lowerBound),
        matrix.type.dataType.kernelValue.argument, type.dataType.kernelValue.argument, Int32(plane),
        Int32(cells.columns))
    }
  }

  private func pack(_ masks: Tensor, rows: Int, columns: Int, into cells: Tensor) {
    let (count, stride) = (masks.shape[0], masks.columns)
    inPortions(of: rows, rowBytes: count * stride) { range, staging throws(CUDAError) in
      for mask in 0..<count {
        let bits = masks.reshaped([count * rows, stride])[
          mask * rows + range.lowerBound..<mask * rows + range.upperBound]
        try stream.copy(
          from: UnsafeRawBufferPointer(bits.bytes),
          to: staging + UInt64(mask * range.count * stride))
      }
      try function("pack", "pack_masks", options: []).launch(
        grid: 1024, block: 256, on: stream,
        arguments: staging, cells.deviceAddress, Int64(range.count), Int64(columns),
        Int64(range.lowerBound), Int32(count), Int32(cells.columns))
    }
  }

  /// Walks rows in portions of whole tiles, with memory on the GPU that holds one of them.
  private func inPortions(
    of rows: Int, rowBytes: Int, _ body: (Range<Int>, UInt64) throws(CUDAError) -> Void
  ) {
    let most = max(16, Self.portionBytes / max(1, rowBytes) / 16 * 16)
    let portion = (min(most, rows) * rowBytes + 4096) / 256 * 256
    let staging = allocate { $0.tensor([portion], .uint8) }
    for first in Swift.stride(from: 0, to: rows, by: most) {
      attempt { () throws(CUDAError) in
        try body(first..<min(rows, first + most), staging.deviceAddress)
      }
    }
    // The memory goes when this returns.
    synchronize()
  }
}
