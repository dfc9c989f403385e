import CMGLUKernels

// Weights on their way into the layout that the kernels read: rows as they are stored, and mask bits in
// words.

extension CPUBackend {
  public var weightTypes: [WeightType] { WeightType.allCases }

  public func projection(stacking matrices: [StoredMatrix], as type: WeightType) -> PackedWeights {
    let parts = matrices.map { matrix in
      precondition(matrix.columns == matrices[0].columns, "projections of different inputs")
      return CPUPackedRows.Part(planes: [converted(matrix, to: type)], words: nil)
    }
    return PackedWeights(
      rows: parts.reduce(0) { $0 + $1.rows }, columns: matrices[0].columns, type: type,
      gating: .linear, activation: .identity, storage: CPUPackedRows(parts))
  }

  public func pack(
    _ planes: [StoredMatrix], masks: Tensor?, gating: Gating, activation: Activation,
    as type: WeightType
  ) -> PackedWeights {
    let planes = planes.map { converted($0, to: type) }
    precondition(planes.count == (gating == .gated ? 2 : 1), "a plane for every matrix")
    let (rows, columns) = (planes[0].rows, planes[0].columns)
    var words: Tensor?
    if let masks {
      let stride = (columns + 7) / 8
      precondition(
        masks.shape == [gating.masks, rows, stride] && masks.dataType == .uint8,
        "masks \(masks.shape) for [\(gating.masks), \(rows), \(stride)]")
      let packed = allocate {
        $0.tensor(Self.wordsShape(gating, rows: rows, columns: columns), .int64)
      }
      words = packed
      pack(masks, columns: columns, into: packed)
    } else {
      precondition(gating.masks == 0, "\(gating.masks) masks without bits")
    }
    return PackedWeights(
      rows: rows, columns: columns, type: type, gating: gating, activation: activation,
      storage: CPUPackedRows([CPUPackedRows.Part(planes: planes, words: words)]))
  }

  /// The shape of the words of masks of `[rows, columns]`.
  static func wordsShape(_ gating: Gating, rows: Int, columns: Int) -> [Int] {
    [rows, (columns + Int(CMGLU_WORD) - 1) / Int(CMGLU_WORD), gating.masks]
  }

  /// Brings bits `[m, rows, ceil(columns / 8)]` into words.
  func pack(_ masks: Tensor, columns: Int, into words: Tensor) {
    let (source, target) = (masks.bytes, words.bytes)
    let (count, rows) = (masks.shape[0], masks.shape[1])
    pool.forEachRange(of: rows) { range in
      fusedLinearKernels.pack_masks(
        source.baseAddress, Int64(rows), Int64(columns), Int64(count),
        target.baseAddress?.assumingMemoryBound(to: UInt64.self),
        Int64(range.lowerBound), Int64(range.upperBound))
    }
  }
}
