// Differences of rows, as a conversion measures them.

extension CPUBackend {
  public func scaledDifference(
    _ x: Tensor, _ y: Tensor?, rowScales: Tensor?, into e: Tensor
  ) {
    precondition(
      e.count == x.count && y?.count ?? x.count == x.count && rowScales?.count ?? x.rows == x.rows,
      "the difference has another size")
    let width = x.columns
    pool.forEachRange(of: x.rows, grain: max(1, 8192 / max(1, width))) { rows in
      for row in rows {
        let (from, to) = (x.floats + row * width, e.floats + row * width)
        let scale = rowScales?.floats[row] ?? 1
        if let minus = y.map({ $0.floats + row * width }) {
          for k in 0..<width { to[k] = scale * (from[k] - minus[k]) }
        } else {
          for k in 0..<width { to[k] = scale * from[k] }
        }
      }
    }
  }
}
