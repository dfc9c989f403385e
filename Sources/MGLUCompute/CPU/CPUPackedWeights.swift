import CMGLUKernels

/// Weights of the CPU: rows as they are stored, in memory or in a mapped file, in one or several parts.
final class CPUPackedRows: PackedStorage {
  /// Rows that are stored together.
  struct Part {
    /// W, or the gate's and the value's.
    let planes: [StoredMatrix]
    /// The mask bits: exactly one bit per element and mask, rows padded to whole words of 64.
    let words: Tensor?
    /// Rows of each plane.
    var rows: Int { planes[0].rows }
  }

  let parts: [Part]
  let byteCount: Int

  init(_ parts: [Part]) {
    self.parts = parts
    byteCount = parts.reduce(0) { bytes, part in
      part.planes.reduce(bytes + (part.words?.byteCount ?? 0)) { $0 + $1.byteCount }
    }
  }

  var matrices: [Tensor] { parts.flatMap(\.planes).map(\.weights) }
}

extension PackedWeights {
  /// The parts of the CPU's weights.
  ///
  /// - Precondition: the CPU packed them.
  var cpuParts: [CPUPackedRows.Part] {
    guard let rows = storage as? CPUPackedRows else {
      preconditionFailure("weights of another backend")
    }
    return rows.parts
  }

  /// A part as the kernels take it.
  func kernelValue(of part: CPUPackedRows.Part) -> cmglu_packed {
    var value = part.planes[0].kernelValue
    value.gating = gating.kernelValue
    value.activation = activation.kernelValue
    value.masks = Int64(gating.masks)
    if part.planes.count > 1 {
      value.weights.1 = UnsafeRawPointer(part.planes[1].weights.bytes.baseAddress)
      value.scales.1 = UnsafeRawPointer(part.planes[1].scales?.bytes.baseAddress)
    }
    value.words = part.words.flatMap {
      UnsafeRawPointer($0.bytes.baseAddress)?.assumingMemoryBound(to: UInt64.self)
    }
    return value
  }
}

extension StoredMatrix {
  /// The matrix as a plain projection.
  var kernelValue: cmglu_packed {
    var value = cmglu_packed()
    value.type = type.dataType.kernelValue
    value.gating = Gating.linear.kernelValue
    value.activation = Activation.identity.kernelValue
    value.rows = Int64(rows)
    value.columns = Int64(columns)
    value.weights.0 = UnsafeRawPointer(weights.bytes.baseAddress)
    value.scales.0 = UnsafeRawPointer(scales?.bytes.baseAddress)
    return value
  }
}
