import CMGLUKernels

// Memory and streams that a caller keeps: tensors over its addresses, its stream in place of the
// backend's own.

extension CUDABackend: BorrowingBackend {
  package func borrow(_ address: UInt, _ shape: [Int], _ type: DataType) -> Tensor {
    Tensor(
      arena: Self.addressSpace, byteOffset: Int(bitPattern: address), shape: shape, dataType: type)
  }

  /// All memory of GPUs as one arena: addresses are unified.
  private static let addressSpace = Arena(CUDAMemory(borrowing: 0, byteCount: .max))

  package func packedSizes(
    rows: Int, columns: Int, gating: Gating, as type: WeightType
  ) -> PackedRegions {
    if type == .float32 {
      let bits = gating.masks * rows * ((columns + 7) / 8)
      return PackedRegions(weights: UInt(gating.planes * rows * columns * 4), words: UInt(bits))
    }
    let shape = Self.cellsShape(gating, rows: rows, columns: columns, as: type)
    return PackedRegions(weights: UInt(shape.reduce(1, *)))
  }

  package func pack(
    _ planes: [StoredMatrix], masks: Tensor?, rows: Int, columns: Int, gating: Gating,
    as type: WeightType, at addresses: PackedRegions
  ) {
    let sizes = packedSizes(rows: rows, columns: columns, gating: gating, as: type)
    if type == .float32 {
      let bytes = rows * columns * 4
      for (index, plane) in planes.enumerated() {
        let target = borrow(addresses.weights + UInt(index * bytes), [rows, columns], .float32)
        enqueueCopy(plane.weights, to: target.deviceAddress)
      }
      if let masks { enqueueCopy(masks, to: UInt64(addresses.words)) }
      return
    }
    let cells = borrow(
      addresses.weights, Self.cellsShape(gating, rows: rows, columns: columns, as: type), .uint8)
    attempt { () throws(CUDAError) in
      try stream.fill(cells.deviceAddress, byteCount: Int(sizes.weights), with: 0)
    }
    fill(cells, with: planes.map { [$0] }, masks: masks, rows: rows, as: type)
  }

  private func enqueueCopy(_ source: Tensor, to address: UInt64) {
    attempt { () throws(CUDAError) in
      try stream.copy(from: source.deviceAddress, to: address, byteCount: source.byteCount)
    }
  }

  package func packedWeights(
    rows: Int, columns: Int, gating: Gating, activation: Activation, as type: WeightType,
    at addresses: PackedRegions
  ) -> PackedWeights {
    let storage: any PackedStorage
    if type == .float32 {
      let bytes = UInt(rows * columns * 4)
      storage = CUDAPackedRows(
        planes: (0..<UInt(gating.planes)).map {
          borrow(addresses.weights + $0 * bytes, [rows, columns], .float32)
        },
        bits: gating.masks == 0
          ? nil : borrow(addresses.words, [gating.masks, rows, (columns + 7) / 8], .uint8))
    } else {
      storage = CUDAPackedCells(
        borrow(
          addresses.weights, Self.cellsShape(gating, rows: rows, columns: columns, as: type),
          .uint8))
    }
    return PackedWeights(
      rows: rows, columns: columns, type: type, gating: gating, activation: activation,
      storage: storage)
  }

  /// Staged rows of x: those of prompts, those of batches, and those that shared memory cannot hold.
  package func workspaceSize(
    rows: Int, columns: Int, n: Int, promptRows: Int, gating: Gating, as type: WeightType,
    precision: InputPrecision
  ) -> Int {
    guard type != .float32 else { return 0 }
    let pieces = precision.pieces(of: type)
    let promptRows = multipliesPrompts(of: type, at: precision) ? promptRows : 0
    let most = FusedLinearPromptLaunch.mostRows(width: columns, pieces: pieces)
    let prompts =
      promptRows == 0
      ? 0
      : FusedLinearVariant.stagedBytes(
        rows: min(promptRows, most), pieces: pieces, width: columns)
    let decoding =
      n > promptRows
      ? workspaceSize(
        rows: rows, columns: columns, n: n - promptRows, gating: gating, as: type, pieces: pieces)
      : 0
    return max(prompts, decoding)
  }

  private func workspaceSize(
    rows: Int, columns: Int, n: Int, gating: Gating, as type: WeightType, pieces: Int
  ) -> Int {
    if batches(rows: n, pieces: pieces) {
      return FusedLinearVariant.stagedBytes(
        rows: min(n, FusedLinearBatchLaunch.mostRows), pieces: pieces, width: columns)
    }
    let (most, isStaged) = FusedLinearVariant.pass(
      masks: gating.masks, planes: gating.planes, type: type, width: columns, pieces: pieces,
      rows: rows, on: context.device)
    let variant = FusedLinearVariant(
      masks: gating.masks, planes: gating.planes, type: type, batch: min(n, most), pieces: pieces,
      width: columns)
    return isStaged ? variant.columns * variant.inputStride : 0
  }

  package func perform(_ call: BorrowedCall, _ body: () -> Void) throws(BackendError) {
    let caller = CallersContext(of: context.driver)
    defer { caller.restore() }
    if !stream.isBorrowed(call.stream) { use(CUDAStream(borrowing: call.stream, on: context)) }
    startsEarly = call.startsEarly
    scratches[.stagedInput] =
      call.workspaceByteCount == 0
      ? nil
      : [CUDAMemory(borrowing: UInt64(call.workspace), byteCount: call.workspaceByteCount)]
    if call.isPreparing { prepare(body) } else { body() }
    guard let failure else { return }
    self.failure = nil
    throw BackendError(failure)
  }
}
