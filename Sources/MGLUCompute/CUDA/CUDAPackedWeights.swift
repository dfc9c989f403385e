/// 16-bit weights: matrices and bits as one stream of cells in the order of fused_linear.cu.
final class CUDAPackedCells: PackedStorage {
  let cells: Tensor

  init(_ cells: Tensor) { self.cells = cells }

  var matrices: [Tensor] { [cells] }
  var byteCount: Int { cells.byteCount }
}

/// float32 weights: rows as plain.cu reads them.
final class CUDAPackedRows: PackedStorage {
  /// W, or the gate's and the value's.
  let planes: [Tensor]
  /// The mask bits `[m, d, ceil(h / 8)]`.
  let bits: Tensor?

  init(planes: [Tensor], bits: Tensor?) { (self.planes, self.bits) = (planes, bits) }

  var matrices: [Tensor] { planes }
  var byteCount: Int { planes.reduce(bits?.byteCount ?? 0) { $0 + $1.byteCount } }
}

extension PackedWeights {
  /// The cells of 16-bit weights, or `nil` of float32 ones.
  var cells: Tensor? { (storage as? CUDAPackedCells)?.cells }

  /// The rows of float32 weights.
  ///
  /// - Precondition: a GPU's backend packed them, as float32.
  var plainRows: CUDAPackedRows {
    guard let rows = storage as? CUDAPackedRows else {
      preconditionFailure("weights of another backend")
    }
    return rows
  }
}
