// Biases of projections: added to every row, and the sums of rows that are their gradients.

extension CPUBackend {
  public func addBias(_ bias: Tensor, to x: Tensor) {
    let width = x.columns
    precondition(bias.count == width, "a bias of \(bias.count) for rows of \(width)")
    let (from, to) = (bias.floats, x.floats)
    pool.forEachRange(of: x.rows, grain: max(1, 8192 / width)) { rows in
      for row in rows { kernels.add(from, to + row * width, 0, Int64(width)) }
    }
  }

  public func addBiasBackward(_ upstream: Tensor, biasGradient: Tensor) {
    let (rows, width) = (upstream.rows, upstream.columns)
    precondition(biasGradient.count == width, "a bias of \(biasGradient.count), rows of \(width)")
    let (from, to) = (upstream.floats, biasGradient.floats)
    // Threads split the columns: rows then add up in the same order on any team.
    pool.forEachRange(of: width, unit: 16, grain: max(16, 8192 / max(1, rows))) { columns in
      for row in 0..<rows {
        kernels.add(
          from + row * width, to, Int64(columns.lowerBound), Int64(columns.upperBound))
      }
    }
  }
}
