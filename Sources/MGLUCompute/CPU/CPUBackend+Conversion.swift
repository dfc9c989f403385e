// Matrices from one type of weights to another: files and every backend have it from the CPU.

extension CPUBackend {
  /// A float32 matrix as `type`: rounded to the nearest, ties to even; ``WeightType/int8`` in groups
  /// of 32 with an FP16 scale, the largest magnitude of a group being 127.
  public func quantize(_ matrix: Tensor, as type: WeightType) -> StoredMatrix {
    if type == .float32 { return StoredMatrix(weights: matrix) }
    let (rows, columns) = (matrix.rows, matrix.columns)
    let result = allocate { layout in
      let weights = layout.tensor([rows, columns], type.dataType)
      let scales =
        type == .int8
        ? layout.tensor(WeightType.scalesShape(rows: rows, columns: columns), .float16) : nil
      return StoredMatrix(weights: weights, scales: scales)
    }
    quantize(matrix, into: result)
    return result
  }

  /// A float32 matrix into memory of another type, as ``quantize(_:as:)`` rounds it.
  package func quantize(_ matrix: Tensor, into result: StoredMatrix) {
    precondition(
      matrix.rows == result.rows && matrix.columns == result.columns, "the target's size differs")
    let (type, columns) = (result.type, matrix.columns)
    let (source, weights, scales) = (matrix.floats, result.weights, result.scales)
    let stride = columns * type.dataType.byteCount
    pool.forEachRange(of: matrix.rows, grain: max(1, 32_768 / columns)) { range in
      for row in range {
        fusedLinearKernels.pack(
          type.dataType.kernelValue, source + row * columns, Int64(columns),
          weights.bytes.baseAddress! + row * stride,
          scales.map { $0.bytes.baseAddress! + row * $0.columns * 2 })
      }
    }
  }

  /// The same matrix stored as `type`: itself where it is of that type already.
  public func converted(_ matrix: StoredMatrix, to type: WeightType) -> StoredMatrix {
    if matrix.type == type { return matrix }
    let wide = allocate { $0.tensor(matrix.weights.shape) }
    dequantize(matrix, into: wide)
    return quantize(wide, as: type)
  }

  /// The float32 values of a stored matrix.
  public func dequantize(_ matrix: StoredMatrix, into target: Tensor) {
    precondition(
      matrix.rows == target.rows && matrix.columns == target.columns, "the target's size differs")
    let packed = matrix.kernelValue
    let floats = target.floats
    pool.forEachRange(of: matrix.rows, grain: max(1, 32_768 / matrix.columns)) { range in
      var packed = packed
      for row in range {
        fusedLinearKernels.unpack(&packed, Int64(row), floats + row * matrix.columns)
      }
    }
  }
}
