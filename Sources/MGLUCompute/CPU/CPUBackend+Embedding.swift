// Rows of an embedding, of packed weights in inference and of a tensor in training, and rows of a step.

extension CPUBackend {
  public func embed(_ tokens: Tensor, table: PackedWeights, into x: Tensor) {
    precondition(tokens.count == x.rows && table.columns == x.columns, "x has another size")
    var packed = table.cpuParts[0].planes[0].kernelValue
    for row in 0..<x.rows {
      // A token that is none, chosen where no logit was a number, is read as another.
      let id = max(0, Int(tokens.integers[row]))
      precondition(id < table.rows, "token \(id) outside the table")
      fusedLinearKernels.unpack(&packed, Int64(id), x.floats + row * x.columns)
    }
  }

  public func gather(_ source: Tensor, at indices: Tensor, into target: Tensor) {
    let bytes = target.byteCount / max(1, target.rows)
    precondition(
      indices.count == target.rows && source.byteCount / max(1, source.rows) == bytes,
      "rows of \(source.shape) for \(target.shape)")
    for row in 0..<target.rows {
      let index = Int(indices.integers[row])
      guard index >= 0 else { continue }
      target[row..<row + 1].bytes.copyMemory(
        from: UnsafeRawBufferPointer(source[index..<index + 1].bytes))
    }
  }

  public func embed(_ tokens: Tensor, table: Tensor, into x: Tensor) {
    let width = table.columns
    let (ids, from, to) = (tokens.integers, table.floats, x.floats)
    pool.forEachRange(of: tokens.count, grain: max(1, 8192 / width)) { range in
      for row in range {
        (to + row * width).update(from: from + Int(ids[row]) * width, count: width)
      }
    }
  }

  public func embedBackward(_ gradient: Tensor, tokens: Tensor, tableGradient: Tensor) {
    let width = gradient.columns
    let (ids, from, to) = (tokens.integers, gradient.floats, tableGradient.floats)
    // Threads split the columns: rows of equal tokens then add up in the same order on any team.
    pool.forEachRange(of: width, unit: 16, grain: max(16, 8192 / max(1, tokens.count))) { range in
      for row in 0..<tokens.count {
        kernels.add(
          from + row * width, to + Int(ids[row]) * width, Int64(range.lowerBound),
          Int64(range.upperBound))
      }
    }
  }
}
