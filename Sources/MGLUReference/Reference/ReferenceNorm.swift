/// RMSNorm in float64: y = w (.) x r with r = 1 / sqrt(mean(x^2) + epsilon) for each row.
package struct ReferenceNorm: Sendable {
  /// w `[1, h]`.
  package var weight: ReferenceMatrix
  /// Added to the mean square.
  package var epsilon: Double

  /// A norm of `weight` `[1, h]`.
  package init(weight: ReferenceMatrix, epsilon: Double) {
    self.weight = weight
    self.epsilon = epsilon
  }

  /// r of each row.
  private func inverseRMS(_ x: ReferenceMatrix) -> [Double] {
    (x .* x).rowSums.map { 1 / ($0 / Double(x.columns) + epsilon).squareRoot() }
  }

  /// y `[n, h]` of x `[n, h]`.
  package func callAsFunction(_ x: ReferenceMatrix) -> ReferenceMatrix {
    let r = inverseRMS(x)
    return ReferenceMatrix(rows: x.rows, columns: x.columns) {
      weight[0, $1] * x[$0, $1] * r[$0]
    }
  }

  /// dX = r w (.) dY - x r^3 mean(w (.) dY (.) x) and dw = sum over rows of dY (.) x r.
  package func backward(
    _ upstream: ReferenceMatrix, x: ReferenceMatrix
  ) -> (input: ReferenceMatrix, weight: ReferenceMatrix) {
    let r = inverseRMS(x)
    var dX = x.zeros
    var dWeight = weight.zeros
    for row in 0..<x.rows {
      let columns = 0..<x.columns
      let mean =
        columns.reduce(0) { $0 + weight[0, $1] * upstream[row, $1] * x[row, $1] }
        / Double(x.columns)
      for j in columns {
        dX[row, j] =
          r[row] * weight[0, j] * upstream[row, j] - x[row, j] * r[row] * r[row] * r[row] * mean
        dWeight[0, j] += upstream[row, j] * x[row, j] * r[row]
      }
    }
    return (dX, dWeight)
  }
}
